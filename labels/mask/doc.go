// Package mask puts masks in the place of what somebody may not see of an opened payload.
//
//	masked := mask.Payload(opened, mask.View{Labels: []string{"pii"}})
//	// masked.Payload is what may leave, masked.Shown and masked.Masked belong into the audit record
//
// # What is promised
//
//   - A value is shown only if the view has all labels of the value and of what it lies in. Every other byte of the data
//     stays: order, numbers, white space, members that nobody knows.
//   - What cannot be understood (labels, JSON, another encoding) is masked as a whole.
//   - What was masked never becomes data: [Found] finds masks in what somebody sends to be sealed.
//
// A masked payload is for people. A worker must never get one: it would take masks for data.
//
// docs/spec/labels-v1.md has the rules in full. Nothing here does I/O or keeps what it is given.
package mask
