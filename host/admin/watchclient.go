package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// FindPeers returns the links that a query of GET /v1/peers selects.
func (c *Client) FindPeers(ctx context.Context, query url.Values) ([]Peer, error) {
	return call[[]Peer](ctx, c, "GET", "/v1/peers?"+query.Encode(), nil)
}

// Dials returns the dials in progress and the attempts after a number; 0 means all that are kept.
func (c *Client) Dials(ctx context.Context, since uint64) (Dials, error) {
	return call[Dials](ctx, c, "GET", "/v1/dials"+sinceQuery("?", since), nil)
}

// PastEvents returns the events after a number; 0 means all that are kept.
func (c *Client) PastEvents(ctx context.Context, since uint64) ([]Event, error) {
	return call[[]Event](ctx, c, "GET", "/v1/events?follow=false"+sinceQuery("&", since), nil)
}

// EventsSince is Events that begins with the events after a number; 0 means all that are kept.
func (c *Client) EventsSince(ctx context.Context, since uint64, ready func(), fn func(Event) error) error {
	return follow(ctx, c, "/v1/events?since="+strconv.FormatUint(since, 10), ready, fn)
}

func sinceQuery(mark string, since uint64) string {
	if since == 0 {
		return ""
	}
	return mark + "since=" + strconv.FormatUint(since, 10)
}

// Traffic returns the latest 15 minutes of traffic.
func (c *Client) Traffic(ctx context.Context) (Traffic, error) {
	return call[Traffic](ctx, c, "GET", "/v1/traffic", nil)
}

// Waiting returns the peers that are not dialed for now, soonest first.
func (c *Client) Waiting(ctx context.Context) ([]Waiting, error) {
	return call[[]Waiting](ctx, c, "GET", "/v1/waiting", nil)
}

// Clear ends the backoff and the quarantine of a peer.
func (c *Client) Clear(ctx context.Context, id transport.NodeID) error {
	_, err := call[any](ctx, c, "POST", "/v1/clear", disconnectRequest{NodeID: string(id)})
	return err
}

// Forget removes a peer from the store.
func (c *Client) Forget(ctx context.Context, id transport.NodeID) error {
	_, err := call[any](ctx, c, "POST", "/v1/forget", forgetRequest{Peer: string(id)})
	return err
}

// Book returns how the known peers are spread.
func (c *Client) Book(ctx context.Context) (Book, error) {
	return call[Book](ctx, c, "GET", "/v1/book", nil)
}

// Graph returns which peer reported which.
func (c *Client) Graph(ctx context.Context) (Graph, error) {
	return call[Graph](ctx, c, "GET", "/v1/graph", nil)
}

// Mirror is the state of a node, as GET /v1/stream tells it.
type Mirror struct {
	Snapshot
	// Event is the latest event, and Point the latest point of the traffic. nil before there is one.
	Event *Event
	Point *TrafficPoint
}

// Follow calls fn with the state of the node: at once, and whenever a message has changed it or said that nothing has.
// fn must not keep the mirror. Follow ends with ctx, the node or an error of fn; call it again to go on.
func (c *Client) Follow(ctx context.Context, fn func(m *Mirror, message string) error) error {
	var m Mirror
	return follow(ctx, c, "/v1/stream", nil, func(data json.RawMessage) error {
		kind, err := m.apply(data)
		if err != nil {
			return fmt.Errorf("stream: %w", err)
		}
		return fn(&m, kind)
	})
}

// streamed is any message of the stream.
type streamed struct {
	Seq      uint64             `json:"seq"`
	BootID   string             `json:"boot_id"`
	Status   json.RawMessage    `json:"status"`
	Peers    []json.RawMessage  `json:"peers"`
	Gone     []transport.NodeID `json:"gone"`
	Dialing  []Dialing          `json:"dialing"`
	Attempts []Attempt          `json:"attempts"`
	Traffic  json.RawMessage    `json:"traffic"` // a point, or in a snapshot all of them
	Event    *Event             `json:"event"`
	Time     time.Time          `json:"time"`
}

// apply changes the mirror as a message says, and returns its kind, which the keys of the message tell.
func (m *Mirror) apply(data []byte) (kind string, err error) {
	var s streamed
	if err := json.Unmarshal(data, &s); err != nil {
		return "", err
	}
	if s.BootID != "" {
		*m = Mirror{}
		return "snapshot", json.Unmarshal(data, &m.Snapshot)
	}
	m.Seq = s.Seq
	switch {
	case s.Event != nil:
		m.Event = s.Event
		m.Events = append(m.Events[max(len(m.Events)-mostPastEvents+1, 0):], *s.Event)
		return "event", nil
	case !s.Time.IsZero():
		return "ping", nil
	}
	if s.Status != nil {
		if err := merge(&m.Status, s.Status); err != nil {
			return "", err
		}
	}
	for _, raw := range s.Peers {
		var id struct {
			NodeID transport.NodeID `json:"node_id"`
		}
		if err := json.Unmarshal(raw, &id); err != nil {
			return "", err
		}
		i, known := slices.BinarySearchFunc(m.Peers, id.NodeID, byID)
		if !known {
			m.Peers = slices.Insert(m.Peers, i, Peer{})
		}
		if err := merge(&m.Peers[i], raw); err != nil {
			return "", err
		}
	}
	for _, id := range s.Gone {
		if i, known := slices.BinarySearchFunc(m.Peers, id, byID); known {
			m.Peers = slices.Delete(m.Peers, i, i+1)
		}
	}
	if s.Dialing != nil {
		m.Dials.Dialing = s.Dialing
	}
	for _, a := range s.Attempts {
		m.Dials.Seq = a.Seq
		m.Dials.Attempts = append(m.Dials.Attempts[max(len(m.Dials.Attempts)-mostAttempts+1, 0):], a)
	}
	if s.Traffic != nil {
		m.Point = &TrafficPoint{}
		if err := json.Unmarshal(s.Traffic, m.Point); err != nil {
			return "", err
		}
		m.Traffic.add(m.Point)
	}
	return "delta", nil
}

// add adds a point to the history.
func (t *Traffic) add(p *TrafficPoint) {
	for _, c := range p.Channels {
		i := slices.IndexFunc(t.Channels, func(o ChannelTraffic) bool { return o.ID == c.ID })
		if i < 0 {
			continue
		}
		o := &t.Channels[i]
		if len(o.Receive) == 0 {
			t.From = p.Time
		}
		first := max(len(o.Receive)-historyPoints+1, 0)
		o.Receive, o.Send = append(o.Receive[first:], c.Receive), append(o.Send[first:], c.Send)
		o.ReceiveRate, o.SendRate, o.Queued, o.Dropped = c.Receive, c.Send, c.Queued, c.Dropped
		if first > 0 && i == 0 {
			t.From = t.From.Add(historyStep)
		}
	}
}

func byID(p Peer, id transport.NodeID) int { return strings.Compare(string(p.NodeID), string(id)) }

// merge sets the fields of into, a struct, that a JSON object names.
func merge[T any](into *T, data []byte) error {
	var keys map[string]json.RawMessage
	var fresh T
	if err := json.Unmarshal(data, &keys); err != nil {
		return err
	}
	if err := json.Unmarshal(data, &fresh); err != nil {
		return err
	}
	dst, src := reflect.ValueOf(into).Elem(), reflect.ValueOf(&fresh).Elem()
	for name, i := range fieldsOf(dst.Type()) {
		if keys[name] != nil {
			dst.Field(i).Set(src.Field(i))
		}
	}
	return nil
}
