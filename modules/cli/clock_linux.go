package cli

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// checkClock asks the kernel whether something keeps the clock right. It compares the clock with nothing: no protocol
// of ours tells a peer's time.
func checkClock(context.Context, *patient) []diagnosis {
	var state unix.Timex // no mode: it only reads
	code, err := unix.Adjtimex(&state)
	const unsynchronized = 5 // TIME_ERROR
	switch {
	case err != nil:
		return []diagnosis{{"clock", gradeWarn, "the kernel does not tell: " + err.Error(), "see that NTP runs"}}
	case code == unsynchronized || state.Status&unix.STA_UNSYNC != 0:
		return []diagnosis{{"clock", gradeWarn, "no NTP client has told the kernel that the clock is right (the host " +
			"of a virtual machine may keep it all the same); it says " + time.Now().UTC().Format(time.RFC3339),
			"compare it; run an NTP client (chrony, systemd-timesyncd); in a container, on its host"}}
	}
	return []diagnosis{{"clock", gradeOK, fmt.Sprintf("an NTP client keeps it, within %v by its own word; whether "+
		"its servers are right is not checked", time.Duration(state.Esterror)*time.Microsecond), ""}}
}
