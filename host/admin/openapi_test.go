package admin

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// fullServer has every route.
func fullServer(t *testing.T) *Server {
	t.Helper()
	n := newFakeNode(t).node()
	n.Metrics = prometheus.NewRegistry()
	s, err := New(Config{Profile: true, Protect: ProtectNone}, n, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Each route is described, and what is described is a route.
func TestOpenAPIHasEachRoute(t *testing.T) {
	served := map[string]bool{}
	for path, m := range fullServer(t).paths() {
		for method := range m {
			served[method+" "+path] = true
			if operations[method+" "+path].does == "" {
				t.Errorf("operations says nothing of %s %s", method, path)
			}
		}
	}
	for name := range operations {
		if !served[name] {
			t.Errorf("%s is described and not served", name)
		}
	}
}

// The document is JSON whose references lead somewhere, and the answers have the fields that it names.
func TestOpenAPIDocument(t *testing.T) {
	s := fullServer(t)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/v1/openapi.json", nil))
	var doc struct {
		OpenAPI    string                           `json:"openapi"`
		Paths      map[string]map[string]any        `json:"paths"`
		Components struct{ Schemas map[string]any } `json:"components"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || doc.OpenAPI != "3.1.0" {
		t.Fatalf("%v: %.300s", err, w.Body)
	}
	for rest := w.Body.String(); ; {
		_, after, more := strings.Cut(rest, `"$ref":"#/components/schemas/`)
		if !more {
			break
		}
		name, _, _ := strings.Cut(after, `"`)
		if doc.Components.Schemas[name] == nil {
			t.Errorf("no schema %s", name)
		}
		rest = after
	}
	if doc.Paths["/v1/ban/{target}"]["delete"] == nil || doc.Paths["/"]["get"] == nil {
		t.Errorf("paths: %v", doc.Paths)
	}
	for _, path := range []string{"/v1/status", "/v1/peers", "/v1/dials", "/v1/traffic", "/v1/bans", "/v1/graph"} {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "http://localhost"+path, nil))
		var answer any
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		get := doc.Paths[path]["get"].(map[string]any)["responses"].(map[string]any)["200"].(map[string]any)
		schema := get["content"].(map[string]any)["application/json"].(map[string]any)["schema"].(map[string]any)
		matches(t, path, answer, schema, doc.Components.Schemas)
	}
}

// matches holds an answer to its schema.
func matches(t *testing.T, at string, v any, schema, all map[string]any) {
	t.Helper()
	if ref, ok := schema["$ref"].(string); ok {
		schema = all[ref[strings.LastIndex(ref, "/")+1:]].(map[string]any)
	}
	switch v := v.(type) {
	case map[string]any:
		properties, _ := schema["properties"].(map[string]any)
		if properties == nil {
			return
		}
		for key, value := range v {
			if properties[key] == nil {
				t.Errorf("%s.%s is not in the document", at, key)
				continue
			}
			matches(t, at+"."+key, value, properties[key].(map[string]any), all)
		}
		required, _ := schema["required"].([]any)
		for _, key := range required {
			if _, ok := v[key.(string)]; !ok {
				t.Errorf("%s has no %s", at, key)
			}
		}
	case []any:
		if schema["type"] != "array" {
			t.Errorf("%s is an array, and the document says %v", at, schema["type"])
			return
		}
		for _, e := range v {
			matches(t, at+"[]", e, schema["items"].(map[string]any), all)
		}
	case string:
		if schema["type"] != "string" {
			t.Errorf("%s is a text, and the document says %v", at, schema["type"])
		}
	case float64:
		if schema["type"] != "number" && schema["type"] != "integer" {
			t.Errorf("%s is a number, and the document says %v", at, schema["type"])
		}
	}
}

// docs/admin-api.md names each route and each field of the answers.
func TestDocsNameAll(t *testing.T) {
	raw, err := os.ReadFile("../../docs/admin-api.md")
	if err != nil {
		t.Fatal(err)
	}
	docs := string(raw)
	for name := range operations {
		method, path, _ := strings.Cut(name, " ")
		path = strings.NewReplacer("{$}", "", "{target...}", "TARGET", "{file...}", "FILE", "{id}",
			"ID").Replace(path)
		if strings.HasPrefix(path, "/debug/pprof/") {
			continue
		}
		if !strings.Contains(docs, "`"+method+" "+path+"`") && !strings.Contains(docs, "`"+method+" "+path+"?") {
			t.Errorf("docs/admin-api.md has no `%s %s`", method, path)
		}
	}
	seen := map[reflect.Type]bool{}
	var check func(t *testing.T, typ reflect.Type)
	check = func(t *testing.T, typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			check(t, typ.Elem())
		case reflect.Struct:
			if seen[typ] || typ.PkgPath() != reflect.TypeFor[Status]().PkgPath() {
				return
			}
			seen[typ] = true
			for name, i := range fieldsOf(typ) {
				if !strings.Contains(docs, `"`+name+`"`) && !strings.Contains(docs, "`"+name+"`") {
					t.Errorf("docs/admin-api.md says nothing of %s.%s", typ.Name(), name)
				}
				check(t, typ.Field(i).Type)
			}
		}
	}
	for _, op := range operations {
		for _, v := range []any{op.in, op.out} {
			if v != nil {
				check(t, reflect.TypeOf(v))
			}
		}
		for _, q := range op.query {
			if !strings.Contains(docs, q.name+"=") && !strings.Contains(docs, "`"+q.name+"`") {
				t.Errorf("docs/admin-api.md says nothing of the parameter %s", q.name)
			}
		}
	}
	for _, v := range alsoSchemas {
		check(t, reflect.TypeOf(v))
	}
	if names := make([]string, 0, len(seen)); len(seen) < 20 {
		for typ := range seen {
			names = append(names, typ.Name())
		}
		slices.Sort(names)
		t.Errorf("only %v were checked", names)
	}
}
