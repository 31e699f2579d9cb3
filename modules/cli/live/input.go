package live

import (
	"strings"
	"unicode/utf8"
)

// maxFilter is the most characters of a filter.
const maxFilter = 40

// input is what the bottom line of a screen does: keys, a filter that is typed, a question, or a notice.
type input struct {
	typing   bool
	filter   string
	question string // "": none
	yes      Action
	notice   string
}

// key handles a key for the bottom line. It returns whether the key was for it.
func (n *input) key(name string) (a Action, taken bool) {
	n.notice = ""
	switch {
	case n.question != "":
		n.question = ""
		if name == "y" || name == "Y" {
			return n.yes, true
		}
		n.notice = "nothing done"
		return nil, true
	case n.typing:
		switch name {
		case "enter":
			n.typing = false
		case "esc":
			n.typing, n.filter = false, ""
		case "backspace":
			_, size := utf8.DecodeLastRuneInString(n.filter)
			n.filter = n.filter[:len(n.filter)-size]
		case "ctrl+u":
			n.filter = ""
		case "space":
			n.add(" ")
		default:
			if utf8.RuneCountInString(name) == 1 {
				n.add(Clean(name))
			}
		}
		return nil, true
	case name == "/":
		n.typing = true
		return nil, true
	case name == "esc" && n.filter != "":
		n.filter = ""
		return nil, true
	}
	return nil, false
}

func (n *input) add(s string) {
	if utf8.RuneCountInString(n.filter) < maxFilter {
		n.filter += s
	}
}

// ask puts a question whose answer y makes a.
func (n *input) ask(question string, a Action) { n.question, n.yes = question, a }

// matches reports whether one of the texts contains the filter, in any case.
func (n *input) matches(texts ...string) bool {
	f := strings.ToLower(strings.TrimSpace(n.filter))
	if f == "" {
		return true
	}
	for _, t := range texts {
		if strings.Contains(strings.ToLower(t), f) {
			return true
		}
	}
	return false
}

// line draws the bottom line.
func (n *input) line(l Look, keys [][2]string) string {
	switch {
	case n.question != "":
		q := cut(l.text(n.question), l.Width-6, l.glyph("…"))
		return " " + yellow.Render(q) + bold.Render(" y/N")
	case n.typing:
		return " filter: " + bold.Render(l.text(n.filter)) + "_" + dim.Render("   enter keep, esc all")
	case n.notice != "":
		return " " + yellow.Render(l.text(Clean(n.notice)))
	case n.filter != "":
		return keyHelp(l, append([][2]string{{"esc", "all (filter: " + l.text(n.filter) + ")"}}, keys...))
	}
	return keyHelp(l, keys)
}

// pick is the chosen row of a list, which stays with its key while rows come and go.
type pick struct {
	at  int
	key string
}

// settle finds the chosen key among those of all rows.
func (p *pick) settle(keys []string) {
	for i, k := range keys {
		if k == p.key {
			p.at = i
			return
		}
	}
	p.at = max(0, min(p.at, len(keys)-1))
	p.key = ""
	if len(keys) > 0 {
		p.key = keys[p.at]
	}
}

// move handles the keys that move the choice. page is the height of the list.
func (p *pick) move(name string, keys []string, page int) bool {
	p.settle(keys)
	switch name {
	case "up":
		p.at--
	case "down":
		p.at++
	case "pgup":
		p.at -= max(1, page)
	case "pgdown":
		p.at += max(1, page)
	case "home":
		p.at = 0
	case "end":
		p.at = len(keys) - 1
	default:
		return false
	}
	p.at = max(0, min(p.at, len(keys)-1))
	if len(keys) > 0 {
		p.key = keys[p.at]
	}
	return true
}
