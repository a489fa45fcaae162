package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"time"

	"dvr/cmd/internal/client"
	"dvr/cmd/internal/testbed"
	"dvr/controller/node"
	"dvr/controller/settings"
)

// renewProfile writes the CPU profile by which the compiler optimises
// (cmd/dvr/default.pgo): a node under the loads that count. The node is in this
// process, those who call it over HTTP are in another. A profile stays useful
// while the code under load keeps its shape; a stale one costs speed only.
func renewProfile(args []string) (err error) {
	flags := flag.NewFlagSet("profile", flag.ExitOnError)
	_ = flags.Parse(args) // ExitOnError
	if flags.NArg() != 1 {
		return errors.New("usage: dvr-bench profile FILE")
	}
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "dvr-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	body, err := ndjson(64, 0)
	if err != nil {
		return err
	}
	defer node.Tune()()
	n, api, err := nodeHere(ctx, filepath.Join(dir, "node"))
	if err != nil {
		return err
	}
	defer n.Close()
	c, err := client.New([]string{api}, "bench")
	if err != nil {
		return err
	}
	f, err := os.Create(flags.Arg(0))
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	for _, connections := range []int{64, 1, 256} {
		if err := loadFromOutside(api, connections, 8*time.Second); err != nil {
			return err
		}
	}
	_, err = c.Do(ctx, client.Call{
		Method: http.MethodPost, Path: "/v1/routes/import?timeout=5m", Body: body,
		Header: http.Header{"Content-Type": {"application/x-ndjson"}},
	}, nil)
	if err != nil {
		return err
	}
	r := &report{dir: dir, out: os.Stdout}
	if err := errors.Join(benchAppend(ctx, r), benchReplay(ctx, r)); err != nil {
		return err
	}
	pprof.StopCPUProfile()
	return f.Close()
}

// nodeHere starts a node in this process on free loopback ports.
func nodeHere(ctx context.Context, dir string) (n *node.Node, api string, err error) {
	environment := []string{"NODE_ID=bench", "DATA_DIR=" + dir}
	for _, name := range []string{"API_ADDR", "FIB_ADDR", "RAFT_ADDR", "CLIENT_ADDR"} {
		port, err := testbed.FreePort()
		if err != nil {
			return nil, "", err
		}
		address := fmt.Sprintf("127.0.0.1:%d", port)
		if environment = append(environment, name+"="+address); api == "" {
			api = address
		}
	}
	s, err := settings.Load(nil, environment)
	if err != nil {
		return nil, "", err
	}
	n, err = node.Start(ctx, s, node.Options{Version: "bench"})
	return n, api, err
}

// loadFromOutside has another process post routes over so many connections.
func loadFromOutside(api string, connections int, d time.Duration) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "load", api, strconv.Itoa(connections), d.String())
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

// load is that process.
func load(args []string) error {
	if len(args) != 3 {
		return errors.New("usage: dvr-bench load ADDR CONNECTIONS DURATION")
	}
	connections, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	d, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	_, _, err = hammer(context.Background(), args[0], "/routes?wait=logged", connections, d, route)
	return err
}
