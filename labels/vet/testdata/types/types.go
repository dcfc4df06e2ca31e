// Package types holds what workflows of another package take.
package types

type Address struct {
	Street string `json:"street"`
	Town   string
}

type Secretive struct{ Value string }
