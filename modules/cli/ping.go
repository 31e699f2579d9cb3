package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/libp2p"
	"github.com/switchyard-p2p/switchyard/host/echo"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// roundTrips is what ping --json and echo --json print.
type roundTrips struct {
	OK    bool `json:"ok"`
	Size  int  `json:"size"`
	Count int  `json:"count"`
	RTT   struct {
		Min float64 `json:"min"`
		P50 float64 `json:"p50"`
		P99 float64 `json:"p99"`
		Max float64 `json:"max"`
	} `json:"rtt_ms"`
}

const (
	maxCount = 1_000_000
	maxEcho  = 64 << 20 // bytes
	// echoMessage is the longest echo message that a node accepts by default.
	echoMessage = 8 << 20
)

func (p *Program) pingCommand() *cobra.Command {
	var (
		f        = visitFlags{home: home{p: p}}
		count    int
		interval time.Duration
	)
	cmd := &cobra.Command{
		Use: "ping ADDRESS", Short: "Measure round trips", Args: takes("ADDRESS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.trips(cmd, args[0], "ping", count, 0, interval,
				func(ctx context.Context, v *visit) (time.Duration, error) {
					return v.ping(ctx)
				})
		},
	}
	f.add(cmd, 5*time.Second)
	cmd.Flags().IntVar(&count, "count", 5, "how many")
	cmd.Flags().DurationVar(&interval, "interval", 200*time.Millisecond, "pause between two")
	return cmd
}

func (p *Program) echoCommand() *cobra.Command {
	var (
		f        = visitFlags{home: home{p: p}}
		count    int
		bytes    int
		interval time.Duration
	)
	cmd := &cobra.Command{
		Use: "echo ADDRESS", Short: "Send bytes to the remote's echo service and compare what returns",
		Args: takes("ADDRESS"),
		Long: "Send random bytes to the remote's echo service and compare what returns.\n\n" +
			"A Switchyard node answers on channel 0x7e if its services.echo.enabled is true, a libp2p node on\n" +
			"streams of " + echo.StreamProtocol + ".",
		RunE: func(cmd *cobra.Command, args []string) error {
			if bytes < 0 || bytes > maxEcho {
				return usage("--size %d: want 0 to %d bytes", bytes, maxEcho)
			}
			return f.trips(cmd, args[0], "echo", count, bytes, interval,
				func(ctx context.Context, v *visit) (time.Duration, error) {
					return v.echo(ctx, bytes)
				})
		},
	}
	f.add(cmd, 10*time.Second)
	cmd.Flags().IntVar(&count, "count", 5, "how many")
	cmd.Flags().IntVar(&bytes, "size", 1024, "bytes of each message")
	cmd.Flags().DurationVar(&interval, "interval", 0, "pause between two")
	return cmd
}

// trips visits a node and measures count round trips.
func (f *visitFlags) trips(cmd *cobra.Command, to, what string, count, bytes int, interval time.Duration,
	once func(context.Context, *visit) (time.Duration, error)) error {
	switch {
	case count < 1 || count > maxCount:
		return usage("--count %d: want 1 to %d", count, maxCount)
	case interval < 0:
		return usage("--interval %v: want 0 or more", interval)
	}
	addr, err := address(to)
	if err != nil {
		return err
	}
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	v, err := f.visitor(ctx)
	if err != nil {
		return err
	}
	link, err := v.connect(ctx, addr)
	if err != nil {
		return f.report(out, handshake.StageTransport, err)
	}
	visit := begin(ctx, link)
	defer visit.end()
	if !f.json {
		fmt.Fprintf(out, "%s %s (%s) over %s\n", what, link.ID(),
			clean(cmp.Or(link.Remote.Moniker, link.Remote.Version)), linkText(link))
	}
	var took []time.Duration
	for i := range count {
		if i > 0 && pause(ctx, visit, interval) {
			break // print what is measured so far
		}
		d, err := visit.within(ctx, f.timeout, what, once)
		if err != nil {
			return f.report(out, what, fmt.Errorf("%s %d of %d to %s: %w", what, i+1, count, addr, err))
		}
		took = append(took, d)
		if !f.json && count <= 20 {
			fmt.Fprintf(out, "  %3d  %9.3f ms\n", i+1, milliseconds(d))
		}
	}
	return printTrips(out, took, bytes, f.json)
}

// pause waits between two round trips and reports whether to stop.
func pause(ctx context.Context, v *visit, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() != nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false
	case <-v.ended:
		return false
	case <-ctx.Done():
		return true
	}
}

// within runs one round trip with a timeout, and ends it when the link ends.
func (v *visit) within(ctx context.Context, timeout time.Duration, what string,
	once func(context.Context, *visit) (time.Duration, error)) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	d, err := once(ctx, v)
	if err == nil {
		return d, nil
	}
	if errors.Is(err, muxer.ErrClosed) || errors.Is(err, io.EOF) {
		<-v.ended // the session knows why
		return 0, v.reason()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return 0, fmt.Errorf("no answer within %v (--timeout)", timeout)
	}
	return 0, err
}

// ping measures one round trip: with libp2p's ping if the remote speaks it, else with the keep-alive of the wire.
func (v *visit) ping(ctx context.Context) (time.Duration, error) {
	took, err := libp2p.Ping(ctx, v.link.Session, 1)
	if errors.Is(err, muxer.ErrNoStreams) {
		return v.link.Session.Ping(ctx)
	}
	if errors.Is(err, muxer.ErrUnknownProtocol) {
		return 0, fmt.Errorf("the remote does not answer pings: %w", err)
	}
	if err != nil {
		return 0, err
	}
	return took[0], nil
}

// echo sends bytes, in a message of the echo channel or on a stream, and waits until they are back.
func (v *visit) echo(ctx context.Context, size int) (time.Duration, error) {
	streams := v.link.Wire != transport.WireComet
	message := !v.link.Remote.Guest && slices.Contains(v.link.Remote.Channels, echo.ChannelID)
	fits := size > 0 && size <= echoMessage
	switch {
	case message && (fits || !streams):
		return v.echoMessage(ctx, size)
	case !streams:
		return 0, fmt.Errorf("the remote has no echo service (channel 0x%02x): a Switchyard node needs "+
			"services.echo.enabled = true", echo.ChannelID)
	}
	took, err := echo.Stream(ctx, v.link.Session.OpenStream, int64(size))
	if errors.Is(err, muxer.ErrUnknownProtocol) {
		return 0, fmt.Errorf("the remote has no echo service (%s): a Switchyard node needs services.echo.enabled = "+
			"true", echo.StreamProtocol)
	}
	return took, err
}

func (v *visit) echoMessage(ctx context.Context, size int) (time.Duration, error) {
	if size == 0 {
		return 0, errors.New("the remote echoes messages, and those have at least one byte (--size)")
	}
	payload := make([]byte, size)
	_, _ = rand.Read(payload) // never fails
	began := time.Now()
	if err := v.link.Session.Send(ctx, echo.ChannelID, payload); err != nil {
		return 0, err
	}
	select {
	case m := <-v.inbox:
		took := time.Since(began)
		if !bytes.Equal(m.Data, payload) {
			return 0, fmt.Errorf("what came back differs: %d bytes were sent and %d returned",
				len(payload), len(m.Data))
		}
		return took, nil
	case <-v.ended:
		return 0, v.reason()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func printTrips(w io.Writer, took []time.Duration, bytes int, asJSON bool) error {
	slices.Sort(took)
	at := func(p float64) float64 { return milliseconds(took[min(int(p*float64(len(took))), len(took)-1)]) }
	if asJSON {
		r := roundTrips{OK: true, Size: bytes, Count: len(took)}
		r.RTT.Min, r.RTT.P50, r.RTT.P99, r.RTT.Max = at(0), at(0.5), at(0.99), at(1)
		return printJSON(w, r)
	}
	all := "all answered"
	if bytes > 0 {
		all = fmt.Sprintf("all byte-equal, %s each", size(uint64(bytes)))
	}
	_, err := fmt.Fprintf(w, "%d sent, %s; round trip min %.3f  p50 %.3f  p99 %.3f  max %.3f ms\n", len(took), all,
		at(0), at(0.5), at(0.99), at(1))
	return err
}
