// Command kv-launcher builds bin/dvr and becomes `dvr launch`, with the same
// arguments:
//
//	go run ./cmd/kv-launcher/main.go [--nodes 3] [--data-dir ./data/launcher] …
//
// The nodes run from bin/dvr: the binary that `go run` makes for this program
// is deleted when it ends, and they outlive it. DVR_BIN names another directory
// than bin.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "kv-launcher:", err)
		os.Exit(1)
	}
}

// run returns only with an error.
func run(args []string) error {
	root, err := checkout()
	if err != nil {
		return err
	}
	binary := filepath.Join(root, "bin", "dvr")
	if dir := os.Getenv("DVR_BIN"); dir != "" {
		binary = filepath.Join(dir, "dvr")
	}
	fmt.Fprintf(os.Stderr, "building %s (minutes the first time)\n", binary)
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "./cmd/dvr")
	build.Dir, build.Stdout, build.Stderr = root, os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("go build: %w", err)
	}
	if err := syscall.Exec(binary, append([]string{binary, "launch"}, args...), os.Environ()); err != nil {
		return fmt.Errorf("run %s: %w", binary, err)
	}
	return nil
}

// checkout is the directory of DVR's sources, this one or one above.
func checkout() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "cmd", "dvr", "main.go")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("run it in DVR's sources: no cmd/dvr here or above")
		}
		dir = parent
	}
}
