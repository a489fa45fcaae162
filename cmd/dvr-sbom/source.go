package main

import (
	"bufio"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// release is what is described.
type release struct {
	version, distribution string
	time                  time.Time
	programs              []program
	packages              []debianPackage
}

// program is a file of the release.
type program struct {
	name, sha256 string
	goVersion    string // empty: not a Go program
	modules      []module
}

// module is a Go module within a program.
type module struct{ path, version, sum string }

// debianPackage went into a program that is not Go.
type debianPackage struct {
	name, version, architecture string
	linked                      bool // else needed for building only
}

func readProgram(path string) (program, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return program{}, err
	}
	sum := sha256.Sum256(content)
	p := program{name: filepath.Base(path), sha256: hex.EncodeToString(sum[:])}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return p, nil // not Go's
	}
	p.goVersion = strings.TrimPrefix(info.GoVersion, "go")
	for _, d := range info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		p.modules = append(p.modules, module{d.Path, d.Version, d.Sum})
	}
	return p, nil
}

func readPackages(r io.Reader) ([]debianPackage, error) {
	var out []debianPackage
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		f := strings.Fields(lines.Text())
		if len(f) != 4 || f[3] != "linked" && f[3] != "build" {
			return nil, fmt.Errorf("line %d is not NAME VERSION ARCHITECTURE linked|build: %q", n, lines.Text())
		}
		out = append(out, debianPackage{f[0], f[1], f[2], f[3] == "linked"})
	}
	return out, lines.Err()
}
