package cli

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// What a change that was to be installed (--wait installed) ends with where it
// is not installed everywhere. The commit stands in both cases.
var (
	// errNotInstalled: data planes that are connected, or required, had not
	// confirmed it in time, or could not install it.
	errNotInstalled = errors.New("committed, but not installed everywhere in time")
	// errAway: every connected data plane has it, and some that are known are not
	// connected: they forward by what they had.
	errAway = errors.New("committed, and installed wherever a data plane is connected")
)

// installed judges the answer of a change: nil where nobody asked whether it is
// installed, or it is everywhere. With --require whoever is named counts: others
// that are away are told, and are no error.
func (m *mutation) installed(c *connection, status int, body any) error {
	away := strings.Join(routersOf(body, "disconnected"), ", ")
	if status == http.StatusAccepted {
		text := ""
		for _, k := range []string{"pending", "failed"} {
			if names := routersOf(body, k); len(names) > 0 {
				text += "; " + k + ": " + strings.Join(names, ", ")
			}
		}
		if away != "" {
			text += "; not connected: " + away
		}
		return fmt.Errorf("%w%s", errNotInstalled, text)
	}
	if away == "" {
		return nil
	}
	// Whether an absent one is concerned nobody knows before it is back.
	text := "not connected, and without it until back: " + away
	if m.require != "" {
		c.notice("%s", text)
		return nil
	}
	return fmt.Errorf("%w; %s\n--require ROUTER[,…] names those that must have it: others that are away are no error then", errAway, text)
}

// routersOf are the routers in a list of an answer: names, or objects that have one.
func routersOf(body any, name string) []string {
	var out []string
	for _, v := range list(body, name) {
		if r := member(v, "router"); r != nil {
			v = r
		}
		out = append(out, text(v))
	}
	return out
}
