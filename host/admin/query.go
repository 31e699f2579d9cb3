package admin

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/switchyard-p2p/switchyard/transport"
)

// totalCount is the header with the number of entries before paging.
const totalCount = "X-Total-Count"

// maxSought bounds the text that is sought, in bytes.
const maxSought = 200

// peerQuery is what GET /v1/peers is asked for.
type peerQuery struct {
	offset, limit int // a limit of 0 is none
	field         int // of Peer, by which to sort; -1: by node id
	desc          bool
	text          string // lower case
	kind          string
	direction     string
}

// sortable are the fields of Peer by which GET /v1/peers sorts, by their JSON names.
var sortable = func() map[string]int {
	out := map[string]int{}
	for name, i := range fieldsOf(reflect.TypeFor[Peer]()) {
		switch reflect.TypeFor[Peer]().Field(i).Type.Kind() {
		case reflect.String, reflect.Bool, reflect.Int, reflect.Uint16, reflect.Uint64, reflect.Float64:
			out[name] = i
		}
	}
	return out
}()

// peerQueryOf reads a query. Unknown keys are ignored, as anywhere in HTTP; values that mean nothing are refused.
func peerQueryOf(v url.Values) (q peerQuery, err error) {
	if q.offset, err = numberIn(v, "offset", 0, 0, 1<<30); err != nil {
		return q, err
	}
	if q.limit, err = numberIn(v, "limit", 0, 1, mostListed); err != nil {
		return q, err
	}
	q.field = -1
	if name := v.Get("sort"); name != "" {
		i, ok := sortable[name]
		if !ok {
			return q, fmt.Errorf("sort %.40q: want one of %s", name,
				strings.Join(slices.Sorted(maps.Keys(sortable)), ", "))
		}
		q.field = i
	}
	if text := v.Get("desc"); text != "" {
		if q.desc, err = strconv.ParseBool(text); err != nil {
			return q, fmt.Errorf("desc %.20q: want true or false", text)
		}
	}
	if q.text = strings.ToLower(v.Get("q")); len(q.text) > maxSought {
		return q, fmt.Errorf("q: more than %d bytes", maxSought)
	}
	if q.kind = v.Get("wire"); q.kind != "" &&
		!slices.Contains([]string{transport.WireComet, transport.WireLibp2p, KindQUIC}, q.kind) {
		return q, fmt.Errorf("wire %.20q: want comet, libp2p or quic", q.kind)
	}
	if q.direction = v.Get("direction"); q.direction != "" && q.direction != Inbound && q.direction != Outbound {
		return q, fmt.Errorf("direction %.20q: want inbound or outbound", q.direction)
	}
	return q, nil
}

// numberIn reads a number from least to most; without it, it returns otherwise.
func numberIn(v url.Values, key string, otherwise, least, most int) (int, error) {
	text := v.Get(key)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%s %.20q: want a number from %d to %d", key, text, least, most)
	}
	return n, nil
}

// apply filters, sorts and pages. total is how many there are before paging. It changes list.
func (q *peerQuery) apply(list []Peer) (page []Peer, total int) {
	list = slices.DeleteFunc(list, func(p Peer) bool { return !q.matches(&p) })
	if q.field >= 0 {
		slices.SortStableFunc(list, func(a, b Peer) int {
			return compareValues(reflect.ValueOf(&a).Elem().Field(q.field), reflect.ValueOf(&b).Elem().Field(q.field))
		})
	}
	if q.desc {
		slices.Reverse(list)
	}
	total = len(list)
	list = list[min(q.offset, total):]
	if q.limit > 0 {
		list = list[:min(q.limit, len(list))]
	}
	return list, total
}

func (q *peerQuery) matches(p *Peer) bool {
	if q.kind != "" && p.Kind != q.kind || q.direction != "" && p.Direction != q.direction {
		return false
	}
	if q.text == "" {
		return true
	}
	for _, text := range []string{string(p.NodeID), p.PeerID, p.Moniker, p.Address, p.IP, p.Version, p.Network,
		p.Kept} {
		if strings.Contains(strings.ToLower(text), q.text) {
			return true
		}
	}
	return false
}

func compareValues(a, b reflect.Value) int {
	switch a.Kind() {
	case reflect.String:
		return strings.Compare(strings.ToLower(a.String()), strings.ToLower(b.String()))
	case reflect.Bool:
		return cmp.Compare(b2i(a.Bool()), b2i(b.Bool()))
	case reflect.Float64:
		return cmp.Compare(a.Float(), b.Float())
	case reflect.Int:
		return cmp.Compare(a.Int(), b.Int())
	}
	return cmp.Compare(a.Uint(), b.Uint())
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// structs are the fields of the struct types that were asked for: a fixed few.
var structs sync.Map // reflect.Type -> map[string]int

// fieldsOf returns the indexes of a struct's fields by their JSON names.
func fieldsOf(t reflect.Type) map[string]int {
	if v, ok := structs.Load(t); ok {
		return v.(map[string]int)
	}
	out := make(map[string]int, t.NumField())
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" && name != "-" {
			out[name] = i
		}
	}
	structs.Store(t, out)
	return out
}
