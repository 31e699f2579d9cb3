package services

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/admin"
)

// The requests of pubsub's API.
type (
	// publishRequest has either of Data (base64) and Text.
	publishRequest struct {
		Topic string  `json:"topic"`
		Data  []byte  `json:"data,omitempty"`
		Text  *string `json:"text,omitempty"`
	}
	topicRequest struct {
		Topic string `json:"topic"`
	}
	topicAnswer struct {
		Topic string `json:"topic"`
		New   bool   `json:"new"` // this request has subscribed to it
	}
)

// routes serves what is below /v1/services/pubsub/.
func (s *PubSub) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /topics", func(w http.ResponseWriter, r *http.Request) {
		list, err := s.Topics(r.Context())
		answer(w, list, err)
	})
	mux.HandleFunc("POST /topics", func(w http.ResponseWriter, r *http.Request) {
		var in topicRequest
		if !read(w, r, &in) {
			return
		}
		fresh, err := s.Enter(r.Context(), in.Topic)
		answer(w, topicAnswer{in.Topic, fresh}, err)
	})
	mux.HandleFunc("DELETE /topics", func(w http.ResponseWriter, r *http.Request) {
		var in topicRequest
		if !read(w, r, &in) {
			return
		}
		answer(w, in, s.Leave(r.Context(), in.Topic))
	})
	mux.HandleFunc("GET /peers", func(w http.ResponseWriter, r *http.Request) {
		list, err := s.Peers(r.Context(), r.URL.Query().Get("topic"))
		answer(w, list, err)
	})
	mux.HandleFunc("POST /messages", func(w http.ResponseWriter, r *http.Request) {
		var in publishRequest
		if !read(w, r, &in) {
			return
		}
		if in.Text != nil {
			if len(in.Data) > 0 {
				admin.Fail(w, http.StatusBadRequest, errors.New("give data or text, not both"))
				return
			}
			in.Data = []byte(*in.Text)
		}
		out, err := s.Publish(r.Context(), in.Topic, in.Data)
		answer(w, out, err)
	})
	mux.HandleFunc("GET /messages", s.follow)
	return mux
}

// follow answers with the messages of a topic from now on.
func (s *PubSub) follow(w http.ResponseWriter, r *http.Request) {
	select {
	case s.readers <- struct{}{}:
		defer func() { <-s.readers }()
	default:
		admin.Fail(w, http.StatusServiceUnavailable, fmt.Errorf("%d connections read messages already", mostReaders))
		return
	}
	sub, err := s.subscribeJoined(r.Context(), r.URL.Query().Get("topic"))
	if err != nil {
		answer(w, nil, err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	messages := make(chan Message) // without room: what waits does so in the subscription, which counts what is missed
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(messages)
		for {
			m, err := sub.Next(ctx)
			if err != nil {
				return
			}
			select {
			case messages <- m:
			case <-ctx.Done():
				return
			}
		}
	})
	admin.SendEvents(w, r, messages)
	cancel()
	sub.Close()
	reading.Wait()
}

// read decodes a request's JSON strictly. If that fails it answers the request. The admin API bounds the body.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("more than one JSON value")
		}
	}
	if err == nil {
		return true
	}
	status := http.StatusBadRequest
	if _, big := errors.AsType[*http.MaxBytesError](err); big {
		status = http.StatusRequestEntityTooLarge
	}
	admin.Fail(w, status, fmt.Errorf("the request: %w", err))
	return false
}

// answer writes v, or why there is none.
func answer(w http.ResponseWriter, v any, err error) {
	if err == nil {
		admin.Reply(w, http.StatusOK, v)
		return
	}
	admin.Fail(w, statusOf(err), err)
}

func statusOf(err error) int {
	_, size := errors.AsType[*SizeError](err)
	_, topics := errors.AsType[*TopicsError](err)
	_, busy := errors.AsType[*BusyError](err)
	switch {
	case size:
		return http.StatusRequestEntityTooLarge
	case topics:
		return http.StatusConflict
	case errors.Is(err, ErrNotIn), errors.Is(err, ErrNotFound):
		return http.StatusNotFound
	case busy, errors.Is(err, host.ErrStopped), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	}
	return http.StatusBadRequest
}
