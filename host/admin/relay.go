package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// maxPublishWait bounds how long POST /v1/relay waits for the first fetch.
const maxPublishWait = time.Minute

// Relay passes items on, by topic; "" is the default topic. An *APIError that it returns becomes the answer.
type Relay interface {
	// MaxItem returns the longest item of a topic in bytes.
	MaxItem(topic string) (int, error)
	// Publish takes an item. The channel is closed when somebody has fetched it.
	Publish(ctx context.Context, topic string, item []byte) (Published, <-chan struct{}, error)
	// Follow calls fn with what happens from now on, until ctx ends, the relay stops or fn returns an error. It calls
	// ready before.
	Follow(ctx context.Context, topic string, ready func(), fn func(RelayEvent) error) error
}

// Published is the answer to a published item.
type Published struct {
	Topic string `json:"topic"`
	ID    string `json:"id"` // SHA-256 of the item, in hex
	Bytes int    `json:"bytes"`
	// Known says that the node had the item already.
	Known bool `json:"known"`
	// Peers are those that get it without waiting for earlier messages.
	Peers int `json:"peers"`
	// FetchedMS is when somebody had fetched it first, since it was published; nil if nobody has within the wait.
	FetchedMS *float64 `json:"fetched_ms,omitempty"`
}

// RelayEvent is an item that the node has accepted, or word of items that its reader has missed before, or both.
type RelayEvent struct {
	Time  time.Time        `json:"time"`
	Topic string           `json:"topic"`
	ID    string           `json:"id,omitempty"` // "": only tells of missed items
	From  transport.NodeID `json:"from,omitempty"`
	Bytes int              `json:"bytes"`
	Item  []byte           `json:"item,omitempty"` // in base64, if it was asked for
	// Missed counts items that the reader was too slow for; MissedIDs are those of the first ones.
	Missed    uint64   `json:"missed,omitempty"`
	MissedIDs []string `json:"missed_ids,omitempty"`
}

// publish serves POST /v1/relay.
func (s *Server) publish(w http.ResponseWriter, r *http.Request) {
	if s.node.Relay == nil {
		Fail(w, http.StatusNotFound, errNoRelay)
		return
	}
	query := r.URL.Query()
	topic, wait := query.Get("topic"), time.Duration(0)
	if text := query.Get("wait"); text != "" {
		var err error
		if wait, err = time.ParseDuration(text); err != nil || wait < 0 || wait > maxPublishWait {
			Fail(w, http.StatusBadRequest, fmt.Errorf("wait %.40q: want a duration up to %v", text, maxPublishWait))
			return
		}
	}
	most, err := s.node.Relay.MaxItem(topic)
	if err != nil {
		failRelay(w, err)
		return
	}
	item, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(most)))
	if err != nil {
		Fail(w, http.StatusRequestEntityTooLarge, fmt.Errorf("the item: %w", err))
		return
	}
	if len(item) == 0 {
		Fail(w, http.StatusBadRequest, errors.New("the item is empty"))
		return
	}
	began := time.Now()
	out, fetched, err := s.node.Relay.Publish(r.Context(), topic, item)
	if err != nil {
		failRelay(w, err)
		return
	}
	if wait > 0 && !out.Known {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(wait + requestTimeout))
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-fetched:
			took := float64(time.Since(began).Microseconds()) / 1000
			out.FetchedMS = &took
		case <-timer.C:
		case <-r.Context().Done():
			return
		}
	}
	Reply(w, http.StatusOK, out)
}

var errNoRelay = errors.New("this node has no relay: set services.relay.enabled = true")

// failRelay answers with an error of a Relay.
func failRelay(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	if e, ok := errors.AsType[*APIError](err); ok {
		status = e.Status
	}
	Fail(w, status, err)
}

// relayEvents sends the items of a topic from now on. A reader that lags is told what it has missed; one that takes
// nothing is cut off.
func (s *Server) relayEvents(w http.ResponseWriter, r *http.Request) {
	if s.node.Relay == nil {
		Fail(w, http.StatusNotFound, errNoRelay)
		return
	}
	query := r.URL.Query()
	topic, bodies := query.Get("topic"), query.Get("items") == "true"
	if _, err := s.node.Relay.MaxItem(topic); err != nil {
		failRelay(w, err)
		return
	}
	leave, ok := s.join(w)
	if !ok {
		return
	}
	defer leave()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	happened := make(chan RelayEvent) // without room: what waits does so in the relay, which counts what is missed
	ready := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.node.Relay.Follow(ctx, topic, func() { close(ready) }, func(e RelayEvent) error {
			select {
			case happened <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	defer func() {
		cancel()
		<-ended
	}()
	select {
	case <-ready:
	case <-ended:
		Fail(w, http.StatusServiceUnavailable, errors.New("the relay has stopped"))
		return
	}
	out := newStream(w)
	beat := time.NewTicker(eventsBeat)
	defer beat.Stop()
	for ok := out.send(": from now on\n\n"); ok; {
		select {
		case e := <-happened:
			if !bodies {
				e.Item = nil
			}
			data, err := json.Marshal(e)
			ok = err == nil && out.send("event: item\ndata: %s\n\n", data)
		case <-beat.C:
			ok = out.send(": still here\n\n")
		case <-ended:
			return
		case <-ctx.Done():
			return
		}
	}
}

// Publish passes an item to the node's relay; topic "" is its default topic. With wait above 0, at most a minute, the
// answer comes when somebody has fetched the item, or after that time.
func (c *Client) Publish(ctx context.Context, topic string, item []byte, wait time.Duration) (p Published, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.patience()+wait, errSilent)
	defer cancel()
	query := url.Values{}
	if topic != "" {
		query.Set("topic", topic)
	}
	if wait > 0 {
		query.Set("wait", wait.String())
	}
	path := "/v1/relay"
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	body, err := c.do(ctx, "POST", path, "application/octet-stream", bytes.NewReader(item))
	if err != nil {
		return p, err
	}
	defer body.Close()
	if err := c.decode(body, path, &p); err != nil {
		return p, c.silent(ctx, err)
	}
	return p, nil
}

// RelayEvents calls fn with each item of a topic from now on, as Events does with events. items asks for the bodies.
func (c *Client) RelayEvents(ctx context.Context, topic string, items bool, ready func(),
	fn func(RelayEvent) error) error {
	query := url.Values{"topic": {topic}}
	if items {
		query.Set("items", "true")
	}
	return follow(ctx, c, "/v1/relay/events?"+query.Encode(), ready, fn)
}
