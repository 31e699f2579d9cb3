package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"
)

// alternate puts IPv6 and IPv4 addresses in turn, IPv6 first, each family in the resolver's order.
func alternate(ips []netip.Addr) []netip.Addr {
	var families [2][]netip.Addr
	for _, ip := range ips {
		if ip.Is6() {
			families[0] = append(families[0], ip)
		} else {
			families[1] = append(families[1], ip)
		}
	}
	out := ips[:0]
	for i := range max(len(families[0]), len(families[1])) {
		for _, family := range families {
			if i < len(family) {
				out = append(out, family[i])
			}
		}
	}
	return out
}

// race dials the addresses one after the other: the next one when one fails, or when stagger has passed. It returns the
// first connection, or all errors, and only after every attempt has ended.
func race[C io.Closer](ctx context.Context, stagger time.Duration, ips []netip.Addr,
	dial func(context.Context, netip.Addr) (C, error)) (C, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		conn C
		err  error
	}
	results := make(chan result)
	timer := time.NewTimer(stagger)
	defer timer.Stop()
	started, running := 0, 0
	next := func() {
		if started == len(ips) || ctx.Err() != nil {
			return
		}
		ip := ips[started]
		started++
		running++
		go func() {
			c, err := dial(ctx, ip)
			if err != nil {
				err = fmt.Errorf("%s: %w", ip, NewOpError(ctx, "", nil, err).Err)
			}
			results <- result{c, err}
		}()
		timer.Reset(stagger)
	}
	var winner C
	won := false
	var failed []error
	for next(); running > 0; {
		select {
		case r := <-results:
			running--
			switch {
			case r.err != nil:
				failed = append(failed, r.err)
				if !won {
					next()
				}
			case !won:
				winner, won = r.conn, true
				cancel() // the others end at once
			default: // a second one came up at the same moment
				_ = r.conn.Close()
			}
		case <-timer.C:
			if !won {
				next()
			}
		}
	}
	if won {
		return winner, nil
	}
	return winner, join(failed)
}

// joined is an error that lists several failures in one line.
type joined []error

func (j joined) Error() string {
	texts := make([]string, len(j))
	for i, err := range j {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (j joined) Unwrap() []error { return j }

func join(errs []error) error {
	switch len(errs) {
	case 0:
		return errors.New("not tried")
	case 1:
		return errs[0]
	}
	return joined(errs)
}
