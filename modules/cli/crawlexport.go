package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/discovery/crawl"
)

func crawlExportCommand() *cobra.Command {
	var dir, asn string
	forms := []struct {
		name, help string
		write      func(*crawl.Map, io.Writer) error
		file       string
	}{
		{name: "html", help: "a page with the map", write: (*crawl.Map).WriteHTML},
		{name: "dot", help: "a graph of Graphviz", write: (*crawl.Map).WriteDOT},
		{name: "graphml", help: "a graph in GraphML", write: (*crawl.Map).WriteGraphML},
		{name: "csv", help: "a row for each node", write: (*crawl.Map).WriteCSV},
		{name: "peers", help: "the reachable nodes, for CometBFT's persistent_peers", write: (*crawl.Map).WritePeers},
	}
	cmd := &cobra.Command{
		Use: "export --out DIR", Short: "Write the map of a crawl's folder in other forms", Args: takes(),
		Long: "Write the map of a crawl's folder in other forms, each into a file; - is standard output.\n" +
			"The map is made from the journal, also while a crawl writes that, or after it was killed.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if dir == "" {
				return usage("crawl export: --out is missing: the folder of a crawl")
			}
			asked := false
			for _, f := range forms {
				asked = asked || f.file != ""
			}
			if !asked {
				return usage("crawl export: say what to write: --html, --dot, --graphml, --csv or --peers FILE")
			}
			systems, err := readSystems(asn)
			if err != nil {
				return err
			}
			m, err := readMap(dir)
			if err != nil {
				return err
			}
			if systems != nil {
				m.SetSystems(systems)
			}
			for _, f := range forms {
				switch f.file {
				case "":
				case "-":
					err = f.write(m, cmd.OutOrStdout())
				default:
					err = replaceFile(f.file, func(w io.Writer) error { return f.write(m, w) })
				}
				if err != nil {
					return fmt.Errorf("--%s: %w", f.name, err)
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "out", "", "the folder of the crawl")
	cmd.Flags().StringVar(&asn, "asn", "", "a file that says of which autonomous system each IP is")
	for i := range forms {
		cmd.Flags().StringVar(&forms[i].file, forms[i].name, "", "write "+forms[i].help+" to this file")
	}
	return cmd
}

// readMap makes the map of a folder. What the journal does not tell, why the crawl was partial, comes from the summary.
func readMap(dir string) (*crawl.Map, error) {
	name := filepath.Join(dir, crawlJournal)
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("crawl export: %w", err)
	}
	defer f.Close()
	m, err := crawl.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var had crawl.Summary
	if text, err := os.ReadFile(filepath.Join(dir, "summary.json")); err == nil && json.Unmarshal(text, &had) == nil &&
		had.Visits == m.Summary.Visits {
		m.Summary.Partial, m.Summary.Why = had.Partial, had.Why
	}
	return m, nil
}

// replaceFile writes a file beside itself, and puts it in its place when it is whole.
func replaceFile(name string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	out := bufio.NewWriter(f)
	err = errors.Join(write(out), out.Flush(), f.Chmod(0o644), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
