package deploy

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Metric is one of a node's.
type Metric struct {
	Name, Help string
	Labels     []string
}

// metricRow matches a row of the table in docs/metrics.md.
var metricRow = regexp.MustCompile("(?m)^\\| `(switchyard_[a-z0-9_]+)` \\| ([a-z_, ]*) ?\\| (.*) \\|$")

// ReadMetrics reads the table of docs/metrics.md, which internal/docs writes from a node's registry.
func ReadMetrics(page []byte) (list []Metric) {
	for _, m := range metricRow.FindAllStringSubmatch(string(page), -1) {
		labels := strings.FieldsFunc(m[2], func(r rune) bool { return r == ',' || r == ' ' })
		list = append(list, Metric{Name: m[1], Help: m[3], Labels: labels})
	}
	return list
}

// query is an expression of a panel and the legend of its series. SEL in it stands for the choice of job and instance.
type query struct{ expr, legend string }

// panel is a picture of some queries.
type panel struct {
	title, unit, about string
	queries            []query
	big                bool // one number instead of lines
	width              int  // of 24; 0: 8, big ones 4
}

// row is a line of panels below a heading.
type row struct {
	title  string
	panels []panel
}

// rate is a query of a counter, by the given labels beside the instance.
func rate(metric, by string, match ...string) query {
	labels, legend := []string{"instance"}, "{{instance}}"
	for _, l := range strings.Fields(by) {
		labels = append(labels, l)
		legend += " {{" + l + "}}"
	}
	return query{fmt.Sprintf("sum by (%s) (rate(%s{%s}[$__rate_interval]))", strings.Join(labels, ", "), metric,
		strings.Join(append([]string{"SEL"}, match...), ",")), legend}
}

// level is a query of a gauge, by the given labels beside the instance.
func level(metric, by string, match ...string) query {
	q := rate(metric, by, match...)
	q.expr = strings.NewReplacer("(rate(", "(", "[$__rate_interval]))", ")").Replace(q.expr)
	return q
}

// quantile is a query of a histogram.
func quantile(q, metric string) query {
	return query{fmt.Sprintf("histogram_quantile(%s, sum by (instance, le) (rate(%s_bucket{SEL}[$__rate_interval])))",
		q, metric), "{{instance}} p" + strings.TrimPrefix(q, "0.")}
}

// rows are the chosen panels. What they leave out comes below them.
var rows = []row{
	{"Is it well?", []panel{
		{title: "Links", big: true, queries: []query{level("switchyard_peers", "")},
			about: "Peers with a link that is up."},
		{title: "Persistent peers down", big: true, queries: []query{level("switchyard_trusted_peers_down", "")}},
		{title: "Known peers", big: true, queries: []query{level("switchyard_known_peers", "")}},
		{title: "Bans", big: true, queries: []query{level("switchyard_bans", "")}},
		{title: "Up since", big: true, unit: "dateTimeFromNow", queries: []query{
			{"1000 * process_start_time_seconds{SEL}", "{{instance}}"}}},
		{title: "Version", big: true, queries: []query{
			{"switchyard_build_info{SEL}", "{{version}} {{go_version}}"}}},
		{title: "Findings", width: 24, queries: []query{
			{`switchyard_findings{SEL,severity=~"warn|bad"} == 1`, "{{instance}} {{code}} ({{severity}})"}},
			about: "What the node says of itself: docs/reasons.md."},
	}},
	{"Links", []panel{
		{title: "Links by direction", queries: []query{level("switchyard_peers", "direction")}},
		{title: "Links by wire", queries: []query{level("switchyard_peers", "wire transport")}},
		{title: "Round trips", unit: "s", queries: []query{quantile("0.5", "switchyard_round_trip_seconds"),
			quantile("0.99", "switchyard_round_trip_seconds")}},
		{title: "Handshakes", unit: "s", queries: []query{quantile("0.5", "switchyard_handshake_seconds"),
			quantile("0.99", "switchyard_handshake_seconds")}},
		{title: "Dials that fail", unit: "cps", queries: []query{
			rate("switchyard_dial_failures_total", "stage cause")}},
		{title: "Connections refused", unit: "cps", queries: []query{
			rate("switchyard_refused_total", "stage cause limit")}},
		{title: "Links ended by the peer manager", unit: "cps", queries: []query{
			rate("switchyard_evictions_total", "cause")}},
		{title: "Moves to QUIC", unit: "cps", queries: []query{rate("switchyard_moves_total", "outcome")}},
		{title: "Feelers", unit: "cps", queries: []query{rate("switchyard_feelers_total", "outcome")}},
	}},
	{"Traffic", []panel{
		{title: "Bytes", unit: "Bps", queries: []query{rate("switchyard_bytes_total", "direction")}},
		{title: "Sent by channel", unit: "Bps", queries: []query{
			rate("switchyard_channel_bytes_total", "channel", `direction="sent"`)}},
		{title: "Received by channel", unit: "Bps", queries: []query{
			rate("switchyard_channel_bytes_total", "channel", `direction="received"`)}},
		{title: "Messages", unit: "cps", queries: []query{rate("switchyard_messages_total", "direction"),
			rate("switchyard_channel_messages_total", "channel direction")}},
		{title: "Waiting by channel", unit: "bytes", queries: []query{
			level("switchyard_channel_queued_bytes", "channel direction")},
			about: "Sent: in the send queues of all peers. Received: in the inboxes of services."},
		{title: "Dropped", unit: "cps", queries: []query{
			rate("switchyard_messages_dropped_total", "channel why")}},
		{title: "Memory of waiting messages", unit: "bytes", queries: []query{
			level("switchyard_message_memory_bytes", "")}},
		{title: "Links paused by slow services", unit: "cps", queries: []query{
			rate("switchyard_link_pauses_total", "")}},
		{title: "Streams", queries: []query{level("switchyard_streams", "protocol"),
			rate("switchyard_streams_total", "protocol outcome")}},
	}},
	{"Known peers", []panel{
		{title: "Known", queries: []query{level("switchyard_known_peers", "state")}},
		{title: "Forgotten", unit: "cps", queries: []query{rate("switchyard_forgotten_peers_total", "")}},
		{title: "Quarantined", queries: []query{level("switchyard_quarantined_peers", "")}},
		{title: "Errors of the disk", unit: "cps", queries: []query{rate("switchyard_store_errors_total", "")}},
	}},
	{"Relay", []panel{
		{title: "Items", unit: "cps", queries: []query{rate("switchyard_relay_items_total", "outcome")}},
		{title: "Bodies", unit: "cps", queries: []query{rate("switchyard_relay_bodies_total", "topic"),
			rate("switchyard_relay_duplicates_total", "topic")},
			about: "The second of each pair had come before: the relay aims at one body a node."},
		{title: "Missed by readers", unit: "cps", queries: []query{rate("switchyard_relay_missed_total", "topic")}},
	}},
	{"Process", []panel{
		{title: "CPU", unit: "percentunit", queries: []query{
			{"rate(process_cpu_seconds_total{SEL}[$__rate_interval])", "{{instance}}"}}},
		{title: "Memory", unit: "bytes", queries: []query{
			{"process_resident_memory_bytes{SEL}", "{{instance}} resident"},
			{"go_memstats_heap_inuse_bytes{SEL}", "{{instance}} heap"}}},
		{title: "Goroutines", queries: []query{{"go_goroutines{SEL}", "{{instance}}"}}},
		{title: "File descriptors", unit: "percentunit", queries: []query{
			{"process_open_fds{SEL} / process_max_fds{SEL}", "{{instance}}"}}},
		{title: "Pauses of the collector", unit: "s", queries: []query{
			{`go_gc_duration_seconds{SEL,quantile="1"}`, "{{instance}} longest"}}},
	}},
}

// selector is what SEL stands for.
const selector = `job="$job",instance=~"$instance"`

// Dashboard returns a Grafana dashboard of all metrics: the chosen panels, and one for each metric that these leave
// out, so that none is missing.
func Dashboard(metrics []Metric) ([]byte, error) {
	all := slices.Clone(rows)
	shown := map[string]bool{}
	for _, r := range all {
		for _, p := range r.panels {
			for _, q := range p.queries {
				for _, name := range Names(q.expr) {
					shown[name] = true
				}
			}
		}
	}
	rest := row{title: "Everything else"}
	for _, m := range metrics {
		if !shown[m.Name] && !shown[m.Name+"_bucket"] {
			rest.panels = append(rest.panels, plain(m))
		}
	}
	all = append(all, rest)
	var panels []any
	id, y := 0, 0
	for _, r := range all {
		id++
		panels = append(panels, map[string]any{"id": id, "type": "row", "title": r.title, "collapsed": false,
			"gridPos": grid(0, y, 24, 1)})
		x, high := 0, 0
		y++
		for _, p := range r.panels {
			id++
			w, h := p.size()
			if x+w > 24 {
				x, y, high = 0, y+high, 0
			}
			panels = append(panels, p.json(id, grid(x, y, w, h)))
			x, high = x+w, max(high, h)
		}
		y += high
	}
	b, err := json.MarshalIndent(map[string]any{
		"title": "Switchyard", "uid": "switchyard", "schemaVersion": 39, "editable": true, "refresh": "30s",
		"tags": []string{"switchyard", "p2p"}, "time": map[string]string{"from": "now-3h", "to": "now"},
		"timezone": "browser", "panels": panels, "annotations": map[string]any{"list": []any{}},
		"templating": map[string]any{"list": []any{
			map[string]any{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"},
			variable("job", "label_values(switchyard_build_info, job)", false),
			variable("instance", `label_values(switchyard_build_info{job="$job"}, instance)`, true),
		}},
	}, "", " ")
	return append(b, '\n'), err
}

// plain is the panel of a metric that no chosen panel shows.
func plain(m Metric) panel {
	p := panel{title: strings.TrimPrefix(m.Name, "switchyard_"), about: m.Help, width: 6}
	by := strings.Join(m.Labels, " ")
	switch {
	case strings.HasSuffix(m.Name, "_seconds"):
		p.unit, p.queries = "s", []query{quantile("0.5", m.Name), quantile("0.99", m.Name)}
	case strings.HasSuffix(m.Name, "_bytes_total"):
		p.unit, p.queries = "Bps", []query{rate(m.Name, by)}
	case strings.HasSuffix(m.Name, "_total"):
		p.unit, p.queries = "cps", []query{rate(m.Name, by)}
	case strings.HasSuffix(m.Name, "_bytes"):
		p.unit, p.queries = "bytes", []query{level(m.Name, by)}
	default:
		p.queries = []query{level(m.Name, by)}
	}
	return p
}

func (p panel) size() (w, h int) {
	switch {
	case p.big:
		return 4, 4
	case p.width != 0:
		return p.width, 6
	}
	return 8, 7
}

func (p panel) json(id int, pos map[string]int) map[string]any {
	kind, options := "timeseries", map[string]any{
		"legend":  map[string]any{"displayMode": "list", "placement": "bottom", "showLegend": true},
		"tooltip": map[string]any{"mode": "multi", "sort": "desc"}}
	if p.big {
		kind, options = "stat", map[string]any{"reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}},
			"colorMode": "none", "textMode": "auto"}
	}
	if p.title == "Version" {
		options["textMode"] = "name"
	}
	var targets []any
	for i, q := range p.queries {
		targets = append(targets, map[string]any{"refId": string(rune('A' + i)), "legendFormat": q.legend,
			"expr": strings.ReplaceAll(q.expr, "SEL", selector)})
	}
	return map[string]any{"id": id, "type": kind, "title": p.title, "description": p.about, "gridPos": pos,
		"datasource": map[string]string{"type": "prometheus", "uid": "$datasource"}, "targets": targets,
		"options":     options,
		"fieldConfig": map[string]any{"defaults": map[string]any{"unit": p.unit, "min": 0}, "overrides": []any{}}}
}

func grid(x, y, w, h int) map[string]int { return map[string]int{"x": x, "y": y, "w": w, "h": h} }

func variable(name, query string, many bool) map[string]any {
	return map[string]any{"name": name, "type": "query", "label": name, "query": query, "refresh": 2, "multi": many,
		"includeAll": many, "datasource": map[string]string{"type": "prometheus", "uid": "$datasource"}}
}

var metricName = regexp.MustCompile(`\b(?:switchyard|go|process)_[a-z0-9_]+`)

// Names returns the metrics that an expression reads.
func Names(expr string) (names []string) {
	for _, name := range metricName.FindAllString(expr, -1) {
		if name != "go_version" { // a label
			names = append(names, name)
		}
	}
	return names
}
