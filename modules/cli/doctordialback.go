package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/host/autonat"
	"github.com/switchyard-p2p/switchyard/transport"
)

// dialBackTime is how long doctor waits for peers to dial back: they need 45 s at most.
const dialBackTime = 50 * time.Second

// askBack lets the running node ask its peers to dial it back. Where that cannot be, unasked says why.
func (at *patient) askBack(ctx context.Context, timeout time.Duration) {
	switch {
	case at.status == nil:
		return
	case len(at.status.Listen) == 0 || onlyLoopback(at.status.Listen):
		return // checkReach says so
	}
	if timeout == callTimeout { // the default is for calls that are answered at once
		timeout = dialBackTime
	}
	at.client.SetTimeout(timeout)
	defer at.client.SetTimeout(callTimeout)
	var report autonat.Report
	err := at.client.Call(ctx, http.MethodPost, "/v1/services/autonat/ask", nil, &report)
	var answer *admin.APIError
	switch {
	case err == nil:
		at.dialBack = &report
	case errors.As(err, &answer) && answer.Status == http.StatusNotFound:
		at.unasked = "the node does not ask its peers: services.autonat is off"
	default:
		at.unasked = "the node could not ask its peers: " + message(err)
	}
}

// checkDialBack tells, for each address of the node, whether peers reach it.
func checkDialBack(_ context.Context, at *patient) []diagnosis {
	if at.dialBack == nil {
		if at.unasked == "" {
			return nil
		}
		return []diagnosis{{"dial-back", gradeOK, "not known: " + at.unasked, ""}}
	}
	var out []diagnosis
	for _, a := range at.dialBack.Addresses {
		d := diagnosis{"dial-back", gradeOK, "", ""}
		switch a.Verdict {
		case autonat.Reachable:
			d.Text = fmt.Sprintf("%s is reachable: %s", a.Address, a.Why)
		case autonat.Unreachable:
			d.Text = fmt.Sprintf("%s is not reachable: %s", a.Address, a.Why)
			if isPublicAddress(a.Address) {
				d.Grade = gradeWarn
				d.Remedy = "open or forward its port; if nobody shall dial it, leave it out of listen.addresses and " +
					"listen.external"
			}
		default:
			d.Text = fmt.Sprintf("%s: not known: %s", a.Address, a.Why)
		}
		out = append(out, d)
	}
	return out
}

func isPublicAddress(text string) bool {
	m, err := ma.NewMultiaddr(text)
	if err != nil {
		return false
	}
	ip, ok := transport.MultiaddrIP(m)
	return ok && transport.IsPublicIP(ip)
}
