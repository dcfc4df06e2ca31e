// Package storage reads what the SDK's storage drivers have stored, from folders: a file system that workers share, or a
// bucket that is mounted. It never writes.
//
// A reference names a driver and holds the driver's claim. Of the claim one member, "key" unless the folder says
// otherwise, is the path of a file in the folder, with slashes; members that the folder lists must have the values it
// lists, such as the name of the bucket; and where the claim has hash_algorithm "sha256" and hash_value, the file must
// have that hash. That is what the claims of the SDK's S3 driver hold. The file is a Payload in protobuf, as it was sealed.
//
// Whoever asks has written the reference. A path that is absolute or holds "..", an empty element or a backslash, a link
// that leads out of the folder, and anything but a regular file are refused, and the size is known before anything is read.
package storage
