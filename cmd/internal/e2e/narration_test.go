package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"dvr/cmd/internal/testbed"
)

// act begins a part of the demonstration.
func (d *demo) act(title string) {
	d.title = title
	d.print(fmt.Sprintf("\n== %s ==", title))
}

// say tells what is seen.
func (d *demo) say(format string, arguments ...any) { d.print(fmt.Sprintf(format, arguments...)) }

// quote shows a command and what it printed.
func (d *demo) quote(command, printed string) {
	d.print("  " + command)
	for line := range strings.Lines(printed) {
		d.print("    " + strings.TrimRight(line, "\n"))
	}
}

func (d *demo) print(line string) {
	if demonstrated() {
		fmt.Println(line)
		return
	}
	d.t.Log(line)
}

// dvr runs the command line at the nodes and shows what it prints.
func (d *demo) dvr(arguments ...string) string {
	d.t.Helper()
	return d.dvrOf("", true, arguments...)
}

// dvrOf is dvr for somebody, which must go well or must not.
func (d *demo) dvrOf(actor string, well bool, arguments ...string) string {
	d.t.Helper()
	binary, err := testbed.Binary("dvr")
	orSkip(d.t, err)
	cmd := exec.CommandContext(within(d.t, patience), binary, arguments...)
	cmd.Dir = d.nodes[0].Dir
	var endpoints []string
	for _, n := range d.nodes {
		endpoints = append(endpoints, n.API)
	}
	cmd.Env = append(os.Environ(), "DVR_ENDPOINTS="+strings.Join(endpoints, ","), "DVR_ACTOR="+actor)
	out, err := cmd.CombinedOutput()
	prompt := "$ "
	if actor != "" {
		prompt = actor + "$ "
	}
	for i, a := range arguments {
		if strings.ContainsAny(a, " ,") {
			arguments[i] = "'" + a + "'"
		}
	}
	d.quote(prompt+"dvr "+strings.Join(arguments, " "), string(out))
	if exit := new(exec.ExitError); (err == nil) != well || err != nil && !errors.As(err, &exit) {
		d.t.Fatalf("dvr %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
	return string(out)
}

func (d *demo) contains(text string, parts ...string) {
	d.t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			d.t.Errorf("%q is not in\n%s", p, text)
		}
	}
}

// eventually waits for what other processes do.
func (d *demo) eventually(what string, ok func() bool) {
	d.t.Helper()
	eventually(d.t, d.title+": "+what, ok)
}

// committed is the revision that a command printed.
func (d *demo) committed(printed string) (revision uint64) {
	d.t.Helper()
	_, rest, _ := strings.Cut(printed, " at revision ")
	if _, err := fmt.Sscan(rest, &revision); err != nil {
		d.t.Fatalf("no revision: %v in\n%s", err, printed)
	}
	return revision
}
