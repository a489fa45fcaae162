// Command dvr-sbom writes what a release is made of, in CycloneDX 1.5 (JSON).
//
//	dvr-sbom --version V --time UNIX [--distribution debian-12] [--packages FILE] PROGRAM…
//
// Of Go programs it takes the modules that the linker recorded. FILE has a line
// for each Debian package that went into the others: NAME VERSION ARCHITECTURE
// and linked (needed to run) or build. The same input gives the same bytes.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "dvr-sbom:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("dvr-sbom", flag.ContinueOnError)
	release := release{}
	flags.StringVar(&release.version, "version", "", "the release's version")
	flags.StringVar(&release.distribution, "distribution", "", "of the Debian packages, such as debian-12")
	at := flags.Int64("time", 0, "when the release was made, in seconds since 1970")
	list := flags.String("packages", "", "file of Debian packages: NAME VERSION ARCHITECTURE linked|build")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if release.version == "" || *at <= 0 || flags.NArg() == 0 {
		return errors.New("--version, --time and a program are needed")
	}
	release.time = time.Unix(*at, 0).UTC()
	for _, path := range flags.Args() {
		p, err := readProgram(path)
		if err != nil {
			return err
		}
		release.programs = append(release.programs, p)
	}
	if *list != "" {
		f, err := os.Open(*list)
		if err != nil {
			return err
		}
		defer f.Close()
		if release.packages, err = readPackages(f); err != nil {
			return fmt.Errorf("%s: %w", *list, err)
		}
	}
	return release.write(out)
}
