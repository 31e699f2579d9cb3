package admin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// fakeRelay takes items of at most 16 bytes. Somebody fetches those that begin with "f".
type fakeRelay struct {
	items []string
	fail  error
	tell  chan RelayEvent
}

func (f *fakeRelay) MaxItem(topic string) (int, error) {
	if topic != "" && topic != "t" {
		return 0, &APIError{Status: 404, Message: "no such topic"}
	}
	return 16, nil
}

func (f *fakeRelay) Publish(_ context.Context, _ string, item []byte) (Published, <-chan struct{}, error) {
	if f.fail != nil {
		return Published{}, nil, f.fail
	}
	f.items = append(f.items, string(item))
	fetched := make(chan struct{})
	if item[0] == 'f' {
		close(fetched)
	}
	return Published{Topic: "t", ID: "00", Bytes: len(item), Peers: 3}, fetched, nil
}

func (f *fakeRelay) Follow(ctx context.Context, _ string, ready func(), fn func(RelayEvent) error) error {
	ready()
	for {
		select {
		case e, open := <-f.tell:
			if !open {
				return errors.New("stopped")
			}
			if err := fn(e); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestPublish(t *testing.T) {
	f := newFakeNode(t)
	c, _ := serve(t, Config{}, f.node())
	if _, err := c.Publish(t.Context(), "", []byte("x"), 0); statusOf(err) != 404 {
		t.Errorf("without a relay: %v", err)
	}
	if err := c.RelayEvents(t.Context(), "", false, nil, nil); statusOf(err) != 404 {
		t.Errorf("events without a relay: %v", err)
	}
	n, relay := f.node(), &fakeRelay{}
	n.Relay = relay
	c, address := serve(t, Config{}, n)
	p, err := c.Publish(t.Context(), "", []byte("item"), 0)
	if want := (Published{Topic: "t", ID: "00", Bytes: 4, Peers: 3}); err != nil || p != want {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := c.Publish(t.Context(), "t", []byte("fetched"), time.Minute); err != nil || p.FetchedMS == nil {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := c.Publish(t.Context(), "t", []byte("not"), time.Millisecond); err != nil || p.FetchedMS != nil {
		t.Errorf("%+v, %v", p, err)
	}
	if !slices.Equal(relay.items, []string{"item", "fetched", "not"}) {
		t.Errorf("%q", relay.items)
	}
	for want, publish := range map[int]func() error{
		400: func() error { _, err := c.Publish(t.Context(), "", nil, 0); return err },
		413: func() error { _, err := c.Publish(t.Context(), "", make([]byte, 17), 0); return err },
		404: func() error { _, err := c.Publish(t.Context(), "other", []byte("x"), 0); return err },
		422: func() error {
			relay.fail = &APIError{Status: 422, Message: "not valid"}
			_, err := c.Publish(t.Context(), "", []byte("x"), 0)
			return err
		},
		503: func() error {
			relay.fail = errors.New("stopped")
			_, err := c.Publish(t.Context(), "", []byte("x"), 0)
			return err
		},
	} {
		relay.fail = nil
		if err := publish(); statusOf(err) != want {
			t.Errorf("want %d, got %v", want, err)
		}
	}
	for _, wait := range []string{"x", "-1s", "2m"} {
		if status, body, _ := ask(t, "POST", "http://"+address+"/v1/relay?wait="+wait, "x"); status != 400 {
			t.Errorf("wait %s: %d %s", wait, status, body)
		}
	}
}

func TestRelayEvents(t *testing.T) {
	n, relay := newFakeNode(t).node(), &fakeRelay{tell: make(chan RelayEvent, 2)}
	n.Relay = relay
	c, address := serve(t, Config{}, n)
	relay.tell <- RelayEvent{Topic: "t", ID: "aa", Bytes: 4, Item: []byte("item")}
	relay.tell <- RelayEvent{Topic: "t", Missed: 7, MissedIDs: []string{"bb"}}
	stop := errors.New("enough")
	var got []string
	err := c.RelayEvents(t.Context(), "", true, nil, func(e RelayEvent) error {
		if got = append(got, fmt.Sprintf("%s %s %d %v", e.ID, e.Item, e.Missed, e.MissedIDs)); len(got) == 2 {
			return stop
		}
		return nil
	})
	if want := []string{"aa item 0 []", "  7 [bb]"}; err != stop || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	if err := c.RelayEvents(t.Context(), "other", false, nil, nil); statusOf(err) != 404 {
		t.Errorf("another topic: %v", err)
	}

	// Bodies only come for those who ask; the stream ends with the relay.
	relay.tell <- RelayEvent{Topic: "t", ID: "aa", Bytes: 4, Item: []byte("item")}
	close(relay.tell)
	answer, err := http.Get("http://" + address + "/v1/relay/events")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "aXRlbQ") {
			t.Errorf("a body that nobody has asked for: %s", lines.Text())
		}
	}
}
