package main

import (
	"fmt"
	"slices"
	"strings"
)

// suite is what `make chain` runs with each release: cases, and the exercises for each of them.
var suite = [][2]string{
	{"ssss", "basic,cutoff"},
	{"mmmm,ssmm,qqqq,LLbb,sLbb,sqbb+pex,sqbb+app", "basic"},
	{"sqbb", "basic,kill,pause,foreign,evidence,join,partition"},
	{"ssss/b,mmmm/s", "statesync"},
}

// work is a network to make and the exercises for it.
type work struct {
	name      string
	kinds     []kind
	joiners   []kind // empty: the exercises choose
	pex, app  bool
	exercises []exercise
}

// ours reports whether the work needs our program.
func (w work) ours() bool {
	return slices.ContainsFunc(append(w.joiners, w.kinds...), kind.ours) ||
		slices.ContainsFunc(w.exercises, func(e exercise) bool { return e.ours })
}

// needs reports whether a node of a kind is in the network.
func (w work) needs(k kind) bool { return slices.Contains(append(w.joiners, w.kinds...), k) }

// choice is what the flags ask for.
type choice struct {
	releases []release
	works    []work
}

func choose(s settings) (choice, error) {
	var c choice
	for version := range strings.SplitSeq(s.versions, ",") {
		i := slices.IndexFunc(releases, func(r release) bool { return strings.HasPrefix(r.version, version) })
		if i < 0 {
			return c, fmt.Errorf("no release of CometBFT here begins with %q", version)
		}
		c.releases = append(c.releases, releases[i])
	}
	parts := suite
	if s.cases != "" {
		parts = [][2]string{{s.cases, s.do}}
	}
	for _, p := range parts {
		list, err := parseExercises(p[1])
		if err != nil {
			return c, err
		}
		for name := range strings.SplitSeq(p[0], ",") {
			w, err := parseCase(name)
			if err != nil {
				return c, err
			}
			w.exercises = list
			c.works = append(c.works, w)
		}
	}
	return c, nil
}

func parseExercises(names string) (list []exercise, _ error) {
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(exercises, func(e exercise) bool { return e.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no exercise %q", name)
		}
		list = append(list, exercises[i])
	}
	return list, nil
}

// parseCase reads a case such as sqbb/s+pex.
func parseCase(name string) (work, error) {
	letters, more, _ := strings.Cut(name, "+")
	letters, late, _ := strings.Cut(letters, "/")
	w := work{name: name}
	var err error
	if w.kinds, err = parseKinds(letters); err != nil {
		return w, err
	}
	if w.joiners, err = parseKinds(late); err != nil {
		return w, err
	}
	if len(w.kinds) == 0 {
		return w, fmt.Errorf("case %q has no validators", name)
	}
	for word := range strings.FieldsFuncSeq(more, func(r rune) bool { return r == '+' }) {
		switch word {
		case "pex":
			w.pex = true
		case "app":
			w.app = true
		default:
			return w, fmt.Errorf("case %q: only pex and app may stand after the letters, not %q", name, word)
		}
	}
	return w, nil
}
