package admin

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

// The live page has no build step: a browser runs these files as they are. Its scripts read the API below /v1/ like any
// other client.
//
//go:embed page
var pageFS embed.FS

// pagePolicy lets the page load its own files and read its own API, and nothing else. Text from strangers cannot become
// code: there is no inline script or style, and no string becomes HTML (trusted types).
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; " +
	"trusted-types 'none'"

// pageTypes are the media types of the page's files. The system's table may know other ones.
var pageTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

type pageFile struct {
	data []byte
	tag  string // its ETag
}

// pageFiles returns the files by their path below the folder page.
var pageFiles = sync.OnceValue(func() map[string]pageFile {
	files := map[string]pageFile{}
	err := fs.WalkDir(pageFS, "page", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := pageFS.ReadFile(name)
		sum := sha256.Sum256(data)
		files[strings.TrimPrefix(name, "page/")] = pageFile{data, `"` + hex.EncodeToString(sum[:12]) + `"`}
		return err
	})
	if err != nil {
		panic(err) // the files are part of the program
	}
	return files
})

// Page returns the handler of the live page: the page itself at /, its files below /page/.
func Page() http.Handler { return http.HandlerFunc(servePage) }

func servePage(w http.ResponseWriter, r *http.Request) {
	name, below := strings.CutPrefix(r.URL.Path, "/page/")
	if !below {
		name = "index.html"
	}
	file, ok := pageFiles()[name]
	media := pageTypes[path.Ext(name)]
	if !ok || media == "" {
		Fail(w, http.StatusNotFound, errors.New("the page has no such file"))
		return
	}
	h := w.Header()
	h.Set("Content-Type", media)
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache") // a browser keeps the files and asks each time whether they have changed
	h.Set("ETag", file.tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file.data))
}
