package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/zitadel/oidc/v3/pkg/op"
)

// device is a program without a browser that waits for its user to log in elsewhere.
type device struct {
	userCode string
	state    op.DeviceAuthorizationState
}

func (s *storage) StoreDeviceAuthorization(ctx context.Context, clientID, deviceCode, userCode string, expires time.Time, scopes []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.client(clientID)
	if err != nil {
		return err
	}
	audience, err := c.audience(askedAudience(ctx))
	if err != nil {
		return err
	}
	for code, d := range s.devices {
		if time.Now().After(d.state.Expires) {
			delete(s.devices, code)
		} else if d.userCode == userCode {
			return op.ErrDuplicateUserCode
		}
	}
	s.devices[deviceCode] = &device{userCode: userCode, state: op.DeviceAuthorizationState{
		ClientID: clientID, Audience: audience, Scopes: scopes, Expires: expires,
	}}
	return nil
}

// GetDeviceAuthorizatonState is the library's spelling.
func (s *storage) GetDeviceAuthorizatonState(_ context.Context, clientID, deviceCode string) (*op.DeviceAuthorizationState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.devices[deviceCode]
	if !ok || d.state.ClientID != clientID {
		return nil, errors.New("no such device code")
	}
	state := d.state
	state.Audience = slices.Clone(d.state.Audience)
	if state.Done {
		delete(s.devices, deviceCode) // tokens are given once
	}
	return &state, nil
}

// approveDevice logs a user in on the device that shows userCode.
func (s *storage) approveDevice(userCode, username, password string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.user(username, password)
	if err != nil {
		return err
	}
	for _, d := range s.devices {
		if d.userCode == userCode && time.Now().Before(d.state.Expires) {
			d.state.Done, d.state.Subject = true, u.Subject
			d.state.AuthTime, d.state.AMR = time.Now(), []string{"pwd"}
			return nil
		}
	}
	return errors.New("no device waits with this code: start again on the device")
}
