package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"dvr/cmd/internal/testbed"
	"dvr/controller/certs"
	"dvr/controller/certs/authority"
)

// benchTLS: the same calls over 64 connections that stand, to a node in mutual
// TLS and to one in clear text, in turns. The caller shares the machine and pays
// for its half of TLS, so throughput understates the node; its processor time a
// call is the node's alone.
func benchTLS(ctx context.Context, r *report) error {
	const connections, rounds, round = 64, 21, 600 * time.Millisecond
	operator, node, err := issued(filepath.Join(r.dir, "certs"))
	if err != nil {
		return err
	}
	dir := filepath.Join(r.dir, "tls")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	secure, err := testbed.NewNode(dir)
	if err != nil {
		return err
	}
	if err := secure.Secure(node, operator); err != nil {
		return err
	}
	if err := secure.Start(); err != nil {
		return err
	}
	defer secure.Kill()
	if err := secure.Ready(ctx); err != nil {
		return err
	}
	plain, err := freshNode(ctx, filepath.Join(r.dir, "plain"))
	if err != nil {
		return err
	}
	defer plain.Kill()

	sides := []*struct {
		node        *testbed.Node
		credentials *certs.Credentials
		over        []*connection
		rates, cpu  []float64
	}{{node: secure, credentials: operator}, {node: plain}}
	for _, s := range sides {
		for range connections {
			conn, err := s.credentials.Dial(10*time.Second, certs.Node)(ctx, "tcp", s.node.API)
			if err != nil {
				return err
			}
			defer conn.Close()
			s.over = append(s.over, newConnection(conn))
		}
	}
	for i := range rounds {
		for _, s := range sides {
			used, err := processTime(s.node.Pid())
			if err != nil {
				return err
			}
			rate, l, err := hammerOver(ctx, s.over, s.node.API, "/routes?wait=logged", round, route)
			if err != nil {
				return err
			}
			now, err := processTime(s.node.Pid())
			if err != nil {
				return err
			}
			if i > 0 { // the first warms up
				s.rates, s.cpu = append(s.rates, rate), append(s.cpu, float64(now-used)/float64(len(l)))
			}
		}
		slices.Reverse(sides) // neither is always the one that comes after a pause
	}
	if sides[0].node != secure {
		slices.Reverse(sides)
	}
	var rates, cpu []float64
	for i := range sides[0].rates {
		rates, cpu = append(rates, sides[0].rates[i]/sides[1].rates[i]), append(cpu, sides[0].cpu[i]/sides[1].cpu[i])
	}
	r.add(row{what: "POST in mutual TLS against clear text, 64 connections", value: median(rates), unit: "x", must: 0.85, aim: 0.95, more: true,
		note: fmt.Sprintf("%.0f/s against %.0f/s, the caller's half of TLS included", median(sides[0].rates), median(sides[1].rates))})
	r.add(row{what: "  the node's processor time a call", value: median(cpu), unit: "x", unbounded: true,
		note: fmt.Sprintf("%.1f against %.1f us", median(sides[0].cpu)/1000, median(sides[1].cpu)/1000)})
	return nil
}

// issued makes an authority in dir with a node and an operator.
func issued(dir string) (operator *certs.Credentials, node certs.Files, err error) {
	a, err := authority.Init(dir, authority.CALifetime, nil)
	if err != nil {
		return nil, node, err
	}
	of, by := certs.Identity{Kind: certs.Node, Name: "node-1"}, certs.Identity{Kind: certs.Operator, Name: "bench"}
	if _, err := a.Issue(of, []string{"127.0.0.1"}, authority.Lifetime); err != nil {
		return nil, node, err
	}
	if _, err := a.Issue(by, nil, authority.Lifetime); err != nil {
		return nil, node, err
	}
	operator, err = certs.Load(a.Files(by), nil)
	return operator, a.Files(of), err
}

// processTime is the processor time that a process has used so far, ns, to 10 ms.
func processTime(pid int) (int64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(raw), ") ") // behind the name, which may have spaces
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat: %q", pid, raw)
	}
	var ticks int64
	for _, f := range fields[11:13] { // user and system
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return ticks * int64(time.Second/100), nil
}
