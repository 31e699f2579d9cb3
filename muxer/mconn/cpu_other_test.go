//go:build !unix

package mconn

import "time"

// cpu is the time that has passed, where the system tells no processor time in this form.
func cpu() int64 { return time.Now().UnixNano() }
