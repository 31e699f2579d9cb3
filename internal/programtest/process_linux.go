package programtest

import (
	"os/exec"
	"syscall"
)

// dieWithUs lets a process end with the test's, even when that is killed.
func dieWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
