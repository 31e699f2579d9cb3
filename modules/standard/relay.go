package standard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/host/relay"
	"github.com/switchyard-p2p/switchyard/modules"
)

// relayPlugin is the relay service: [services.relay], /v1/relay and its metrics.
func relayPlugin() modules.Plugin {
	return modules.Service("relay", relay.DefaultService, relay.NewService,
		modules.WithMetrics(func(s *relay.Service) []prometheus.Collector { return s.Collectors() }),
		modules.WithRelay(func(s *relay.Service) admin.Relay { return relayAPI{s} }))
}

// relayAPI shows a relay to the admin API.
type relayAPI struct{ service *relay.Service }

func (a relayAPI) topic(name string) (*relay.Relay, error) {
	if r := a.service.Topic(name); r != nil {
		return r, nil
	}
	return nil, &admin.APIError{Status: http.StatusNotFound,
		Message: fmt.Sprintf("no topic %.80q: there is %s", name, strings.Join(a.service.Topics(), ", "))}
}

// MaxItem implements admin.Relay.
func (a relayAPI) MaxItem(topic string) (int, error) {
	r, err := a.topic(topic)
	if err != nil {
		return 0, err
	}
	return r.MaxItem(), nil
}

// Publish implements admin.Relay.
func (a relayAPI) Publish(ctx context.Context, topic string, item []byte) (admin.Published, <-chan struct{}, error) {
	r, err := a.topic(topic)
	if err != nil {
		return admin.Published{}, nil, err
	}
	receipt, err := r.Publish(ctx, item)
	switch {
	case errors.Is(err, relay.ErrStopped):
		return admin.Published{}, nil, err
	case err != nil:
		return admin.Published{}, nil, &admin.APIError{Status: http.StatusBadRequest, Message: err.Error()}
	}
	return admin.Published{Topic: r.Topic(), ID: receipt.ID.String(), Bytes: len(item), Known: receipt.Known,
		Peers: receipt.Peers}, receipt.Fetched(), nil
}

// Follow implements admin.Relay.
func (a relayAPI) Follow(ctx context.Context, topic string, ready func(), fn func(admin.RelayEvent) error) error {
	r, err := a.topic(topic)
	if err != nil {
		return err
	}
	sub := r.Subscribe(a.service.Buffer())
	defer sub.Close()
	ready()
	for {
		d, err := sub.Next(ctx)
		if err != nil {
			return err
		}
		e := admin.RelayEvent{Time: time.Now(), Topic: r.Topic(), Missed: d.Missed}
		if d.Item != nil {
			e.ID, e.From, e.Bytes, e.Item = d.ID.String(), d.From, len(d.Item), d.Item
		}
		for _, id := range d.MissedIDs {
			e.MissedIDs = append(e.MissedIDs, id.String())
		}
		if err := fn(e); err != nil {
			return err
		}
	}
}
