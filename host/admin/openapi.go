package admin

import (
	"encoding"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"
)

// operation describes what a method of a path does. The document of GET /v1/openapi.json is made of operations and of
// the Go types that they name, so it cannot tell anything else than the code does.
type operation struct {
	does   string
	query  []param
	in     any    // an example of the type of the body; nil for none
	out    any    // of the answer; nil for one that is not JSON
	stream string // of server-sent events: what out is the data of
	also   []int  // statuses beside 200 and those that any request may get
}

// param is a parameter in the query.
type param struct{ name, is, does string }

var (
	sinceParam = param{"since", "integer", "the number of an event: only what comes after it"}
	text       = "string"
)

// operations are all that the API does, by "METHOD PATH", apart from the routes of services.
var operations = map[string]operation{
	"GET /{$}": {does: "a live page of all this"},

	"GET /page/{file...}": {does: "a file of the page"},
	"GET /healthz":        {does: "200 once the node listens", out: map[string]bool{}, also: []int{503}},
	"GET /metrics":        {does: "Prometheus"},
	"GET /v1/status": {does: "the node's ids, where it listens, whether it is well, how many peers it has and knows",
		out: Status{}},
	"GET /v1/peers": {does: "the links that are up, in order of node id", out: []Peer{}, query: []param{
		{"q", text, "is sought in ids, moniker, address, version, network and kept"},
		{"wire", text, "a kind: comet, libp2p or quic"}, {"direction", text, "inbound or outbound"},
		{"sort", text, "a field of a peer"}, {"desc", "boolean", "the other way round"},
		{"offset", "integer", "how many to leave out"}, {"limit", "integer", "how many to return, up to 10000"}}},
	"GET /v1/store": {does: "known peers with their addresses and statistics, best ranked first", out: []KnownPeer{},
		query: []param{{"limit", "integer", "how many, from 1 to 10000; 100 without it"}}},
	"GET /v1/dials": {does: "dials in progress, and the last 512 attempts, oldest first", out: Dials{},
		query: []param{sinceParam}},
	"GET /v1/traffic": {does: "15 minutes of traffic, by channel", out: Traffic{}},
	"GET /v1/waiting": {does: "peers that are not dialed for now, soonest first, up to 1000", out: []Waiting{},
		also: []int{503}},
	"POST /v1/clear": {does: "ends a peer's backoff and quarantine", in: disconnectRequest{}, out: disconnectRequest{},
		also: []int{404}},
	"POST /v1/forget": {does: "removes a peer from the store", in: forgetRequest{}, out: forgetRequest{},
		also: []int{404, 409}},
	"GET /v1/book":         {does: "how the known peers are spread", out: Book{}, also: []int{503}},
	"GET /v1/graph":        {does: "which peer reported which", out: Graph{}},
	"GET /v1/openapi.json": {does: "this document"},
	"GET /v1/events": {does: "events", out: Event{}, stream: "each event, named by its kind", also: []int{503},
		query: []param{sinceParam, {"follow", "boolean", "false answers with an array of past events alone"}}},
	"GET /v1/stream": {does: "a snapshot of the node, and then what changes", out: Snapshot{}, also: []int{503},
		stream: "the event snapshot; others are delta (Delta), event (StreamEvent) and ping (Ping)",
		query:  []param{{"since", "integer", "the number of the last message that the reader has had"}}},
	"POST /v1/dial": {does: "connects now, and answers with the peer", in: dialRequest{}, out: Peer{},
		also: []int{502}},
	"POST /v1/disconnect": {does: "ends a link", in: disconnectRequest{}, out: disconnectRequest{}, also: []int{404}},
	"GET /v1/bans":        {does: "all bans that hold", out: []Ban{}},
	"POST /v1/ban": {does: "refuses a node id, an IP address or a CIDR and ends the links that match", in: banRequest{},
		out: Ban{}, also: []int{409, 500}},
	"DELETE /v1/ban/{target...}": {does: "lifts a ban", out: map[string]string{}, also: []int{404, 500}},
	"POST /v1/protect":           {does: "gives a peer a role", in: Role{}, out: Role{}, also: []int{409}},
	"DELETE /v1/protect/{id}":    {does: "takes a peer's role back", out: Role{}, also: []int{409}},
	"GET /v1/config": {does: "every key of the configuration, with the value that the node works with",
		out: []Setting{}, also: []int{404}},
	"POST /v1/reload": {does: "reads the configuration again, and applies what it can", in: struct{}{},
		out: Reloaded{}, also: []int{404}},
	"POST /v1/relay": {does: "publishes the body, an item, at the relay", out: Published{}, also: []int{404, 413},
		query: []param{{"topic", text, "without it, the first"}, {"wait", text, "for a first fetch, up to 1m"}}},
	"GET /v1/relay/events": {does: "the items that the node accepts from now on", out: RelayEvent{},
		stream: "each item", also: []int{404, 503}, query: []param{{"topic", text, "without it, the first"},
			{"items", "boolean", "with their bodies"}}},
	"GET /debug/pprof/":        {does: "profiles of the process"},
	"GET /debug/pprof/profile": {does: "where the processor's time goes"},
	"GET /debug/pprof/trace":   {does: "an execution trace"},
	"GET /debug/pprof/symbol":  {does: "names of functions"},
	"GET /debug/pprof/cmdline": {does: "the command line of the process"},
}

// alsoSchemas are types that no operation names.
var alsoSchemas = []any{Delta{}, StreamEvent{}, Ping{}, failure{}}

func (s reads) openAPI(w http.ResponseWriter, _ *http.Request) {
	Reply(w, http.StatusOK, document(s.cfg.Version, s.paths()))
}

// object is a JSON object.
type object = map[string]any

// document returns the OpenAPI document of the paths that a node serves.
func document(version string, served map[string]methods) object {
	types := schemas{}
	failed := types.of(reflect.TypeFor[failure]())
	answer := func(does string, schema any) object {
		return object{"description": does, "content": object{"application/json": object{"schema": schema}}}
	}
	paths := object{}
	for path, m := range served {
		name, item := strings.NewReplacer("{$}", "", "...}", "}").Replace(path), object{}
		for method := range m {
			op, ok := operations[method+" "+path]
			if !ok {
				continue
			}
			answers := object{"400": answer("the request means nothing", failed)}
			switch {
			case op.stream != "":
				answers["200"] = object{"description": "server-sent events; data is of " + op.stream,
					"content": object{"text/event-stream": object{"schema": types.of(reflect.TypeOf(op.out))}}}
			case op.out != nil:
				answers["200"] = answer(op.does, types.of(reflect.TypeOf(op.out)))
			default:
				answers["200"] = object{"description": op.does}
			}
			for _, code := range op.also {
				answers[fmt.Sprint(code)] = answer(http.StatusText(code), failed)
			}
			out := object{"summary": op.does, "responses": answers}
			if method != http.MethodGet {
				answers["401"] = answer("no token, or a wrong one", failed)
				out["security"] = []object{{"token": []string{}}}
			}
			var parameters []object
			for _, q := range op.query {
				parameters = append(parameters, object{"name": q.name, "in": "query", "description": q.does,
					"schema": object{"type": q.is}})
			}
			for part := range strings.SplitSeq(name, "/") {
				if strings.HasPrefix(part, "{") {
					parameters = append(parameters, object{"name": strings.Trim(part, "{}"), "in": "path",
						"required": true, "schema": object{"type": text}})
				}
			}
			if parameters != nil {
				out["parameters"] = parameters
			}
			if op.in != nil {
				out["requestBody"] = object{"required": true, "content": object{"application/json": object{
					"schema": types.of(reflect.TypeOf(op.in))}}}
			} else if method == http.MethodPost {
				out["requestBody"] = object{"content": object{"application/octet-stream": object{}}}
			}
			item[strings.ToLower(method)] = out
		}
		paths[name] = item
	}
	for _, v := range alsoSchemas {
		types.of(reflect.TypeOf(v))
	}
	return object{"openapi": "3.1.0",
		"info": object{"title": "Switchyard admin API", "version": version,
			"description": "The API of a node for its operator: docs/admin-api.md. Keys may be added."},
		"paths": paths, "components": object{"schemas": object(types),
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer"}}}}
}

// schemas are the schemas of struct types, by their names.
type schemas object

// of returns the schema of a type, as encoding/json writes it.
func (s schemas) of(t reflect.Type) object {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": text, "format": "date-time"}
	case t.Kind() == reflect.String || t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return object{"type": text}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8,
		reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer"}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return object{"type": text, "contentEncoding": "base64"}
		}
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		if t.Name() == "" {
			return s.fields(t)
		}
		name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
		if _, known := s[name]; !known {
			s[name] = nil // for types that contain themselves
			s[name] = s.fields(t)
		}
		return object{"$ref": "#/components/schemas/" + name}
	}
	return object{} // anything
}

func (s schemas) fields(t reflect.Type) object {
	properties, required := object{}, []string{}
	for _, name := range slices.Sorted(maps.Keys(fieldsOf(t))) {
		f := t.Field(fieldsOf(t)[name])
		properties[name] = s.of(f.Type)
		if !strings.Contains(f.Tag.Get("json"), ",omit") {
			required = append(required, name)
		}
	}
	out := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}
