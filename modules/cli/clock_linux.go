package cli

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// checkClock asks the kernel whether something keeps the clock right.
func checkClock(context.Context, *patient) []diagnosis {
	var state unix.Timex // no mode: it only reads
	code, err := unix.Adjtimex(&state)
	const unsynchronized = 5 // TIME_ERROR
	switch {
	case err != nil:
		return []diagnosis{{"clock", gradeWarn, "the kernel does not tell: " + err.Error(), "see that NTP runs"}}
	case code == unsynchronized || state.Status&unix.STA_UNSYNC != 0:
		return []diagnosis{{"clock", gradeWarn, "nothing keeps the clock of this machine right; it says " +
			time.Now().UTC().Format(time.RFC3339), "run an NTP client (chrony, systemd-timesyncd); in a " +
			"container, on " +
			"its host"}}
	}
	return []diagnosis{{"clock", gradeOK, fmt.Sprintf("kept by NTP, within %v",
		time.Duration(state.Esterror)*time.Microsecond), ""}}
}
