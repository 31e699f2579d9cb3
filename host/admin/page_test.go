package admin

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func TestPage(t *testing.T) {
	get := func(method, path, tag string) *http.Response {
		r := httptest.NewRequest(method, path, nil)
		if tag != "" {
			r.Header.Set("If-None-Match", tag)
		}
		w := httptest.NewRecorder()
		Page().ServeHTTP(w, r)
		return w.Result()
	}
	index := get("GET", "/", "")
	body, err := io.ReadAll(index.Body)
	if err != nil || index.StatusCode != http.StatusOK {
		t.Fatalf("the page: %d %v", index.StatusCode, err)
	}
	refs := regexp.MustCompile(`(?:src|href)="(page/[^"]+)"`).FindAllStringSubmatch(string(body), -1)
	if len(refs) < 8 {
		t.Fatalf("the page refers to %d files of its own", len(refs))
	}
	for _, m := range refs {
		path := "/" + m[1]
		file := get("GET", path, "")
		if file.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", path, file.StatusCode)
			continue
		}
		for key, part := range map[string]string{
			"Content-Security-Policy":      "default-src 'none'",
			"X-Content-Type-Options":       "nosniff",
			"Referrer-Policy":              "no-referrer",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Cache-Control":                "no-cache",
		} {
			if got := file.Header.Get(key); !strings.Contains(got, part) {
				t.Errorf("%s: %s is %q, want %q", path, key, got, part)
			}
		}
		tag := file.Header.Get("ETag")
		if again := get("GET", path, tag); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s: with its ETag %s: %d", path, tag, again.StatusCode)
		}
		if head := get("HEAD", path, ""); head.StatusCode != http.StatusOK {
			t.Errorf("HEAD %s: %d", path, head.StatusCode)
		}
	}
	for _, path := range []string{"/page/", "/page/nothing.js", "/page/../admin.go", "/page/vendor/LICENSE-uPlot"} {
		if r := get("GET", path, ""); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, r.StatusCode)
		}
	}
	for name := range pageFiles() { // the zip of a module leaves out what is deeper than one folder below vendor
		if below, ok := strings.CutPrefix(name, "vendor/"); ok && strings.Contains(below, "/") {
			t.Errorf("%s would not be in the module as others fetch it", name)
		}
	}
	if strings.Contains(string(body), "<script>") || strings.Contains(string(body), "style=") {
		t.Error("the page has an inline script or style")
	}
}
