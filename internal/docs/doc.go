// Package docs keeps the documents true. Its tests read every Markdown file of the repository and check it against the
// tree and the program:
//
//   - links lead to files and headings that exist, and so do the files that are named in the text;
//   - each block of Go is part of a file that is compiled: the comment <!-- from PATH --> above the block names it;
//   - each command line of switchyard and make names commands, flags and targets that exist;
//   - each block of TOML is a configuration that a node accepts;
//   - docs/metrics.md and docs/errors.md list exactly what the code has (go test ./internal/docs -update writes them);
//   - each public package has an example that runs.
//
// The files named howto_..._test.go are the sources of the how-to guides.
package docs
