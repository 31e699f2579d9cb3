package admin

import (
	"encoding/json"
	"net/http"
)

// stream sends a snapshot of the node and then what changes. A reader that comes back with the number of its last
// message gets those that it has missed, if they are still there. A reader that is too slow is cut off: it comes back
// by itself.
func (s reads) stream(w http.ResponseWriter, r *http.Request) {
	after, resumes, err := sinceIn(r)
	if err != nil {
		Fail(w, http.StatusBadRequest, err)
		return
	}
	leave, ok := s.join(w)
	if !ok {
		return
	}
	defer leave()
	seq, first, err := s.feed.join(after, resumes)
	if err != nil {
		Fail(w, http.StatusServiceUnavailable, err)
		return
	}
	defer s.feed.leave()
	out := newStream(w)
	if ok = out.send("retry: 2000\n\n"); ok && first != nil {
		first.Status.Writes = s.writes(r)
		data, err := json.Marshal(first)
		ok = err == nil && out.send("id: %d\nevent: snapshot\ndata: %s\n\n", seq, data)
	}
	for ok {
		list, news, fed := s.feed.after(seq)
		if !fed {
			return
		}
		for _, m := range list {
			if !out.send("id: %d\nevent: %s\ndata: %s\n\n", m.seq, m.kind, m.data) {
				return
			}
			seq = m.seq
		}
		if len(list) > 0 {
			continue
		}
		select {
		case <-news:
		case <-r.Context().Done():
			return
		}
	}
}
