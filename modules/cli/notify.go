package cli

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"go.uber.org/fx"
)

// notifier tells a service manager how the node is: systemd's sd_notify(3). Without one it does nothing.
type notifier struct {
	socket string        // where it listens; "": there is none
	every  time.Duration // how often it wants to hear that the node lives; 0: never
}

// newNotifier returns the notifier for an environment.
func newNotifier(getenv func(string) string) notifier {
	n := notifier{socket: getenv("NOTIFY_SOCKET")}
	pid := getenv("WATCHDOG_PID")
	if us, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64); err == nil && us > 0 &&
		(pid == "" || pid == strconv.Itoa(os.Getpid())) {
		n.every = time.Duration(us) * time.Microsecond / 2
	}
	return n
}

// tell sends a state. It waits for nothing; a message that does not arrive is lost.
func (n notifier) tell(state string) {
	if n.socket == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return
	}
	defer c.Close()
	_ = c.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = c.Write([]byte(state))
}

// reloading tells that the configuration is read again; ready ends that.
func (n notifier) reloading() {
	n.tell(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", monotonic().Microseconds()))
}

func (n notifier) ready() { n.tell("READY=1\nSTATUS=ready") }

// hooks tell when the node is ready and when it stops, and in between, as often as the manager wants, that it lives.
// alive returns only while it does: a node that has locked itself up is killed, and started again.
func (n notifier) hooks(lc fx.Lifecycle, alive func()) {
	over, ended := make(chan struct{}), make(chan struct{})
	lc.Append(fx.Hook{
		OnStart: func(context.Context) error {
			n.ready()
			go func() {
				defer close(ended)
				if n.socket == "" || n.every <= 0 {
					return
				}
				tick := time.NewTicker(n.every)
				defer tick.Stop()
				for {
					select {
					case <-tick.C:
						alive()
						n.tell("WATCHDOG=1")
					case <-over:
						return
					}
				}
			}()
			return nil
		},
		OnStop: func(ctx context.Context) error {
			n.tell("STOPPING=1\nSTATUS=stopping")
			close(over)
			select {
			case <-ended:
			case <-ctx.Done(): // it is locked up
			}
			return nil
		},
	})
}
