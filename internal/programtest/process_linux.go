package programtest

import (
	"os/exec"
	"syscall"
)

// dieWithUs makes a process end with the test's process, even if that is killed.
func dieWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
