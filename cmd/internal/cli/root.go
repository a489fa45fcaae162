package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"dvr/cmd/internal/client"
)

// Streams are what a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// Terminal says that Err is one: progress may be drawn on it.
	Terminal bool
	// Width is of Out in columns, which tables are fitted to; 0: it is no terminal,
	// and nothing is cut.
	Width int
}

// Root is the whole command tree on the streams.
func Root(s Streams) *cobra.Command {
	root := &cobra.Command{
		Use:           "dvr",
		Short:         "A distributed distance-vector router",
		Long:          "A distributed distance-vector router: a node, and the command line of a cluster.\n\n" + exitCodes + "\n\n" + documents,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError{howTo(cmd, flagError(cmd, err))} })
	c := &connection{in: s.In, out: s.Out, errOut: s.Err, terminal: s.Terminal, width: s.Width}
	shared := c.bind(root)
	node := nodeCommand(s.Out, s.Err)
	withoutShared(node, shared)
	launch := launchCommand(s.Out, s.Err)
	withoutShared(launch, shared)
	sim := simCommand(c, s.In, s.Out)
	withoutShared(sim, butOutput(shared))
	doctor := doctorCommand(c)
	withoutShared(doctor, butOutput(shared))
	demo := demoCommand(s.Out)
	withoutShared(demo, shared)
	restore := restoreCommand(c)
	withoutShared(restore, butOutput(shared))
	root.AddCommand(node, configCommand(c, shared), launch, demo, doctor, sim, backupCommand(c, shared), restore, certCommand(c, shared), routeCommand(c), routerCommand(c), linkCommand(c), topologyCommand(c), vectorCommand(c), logCommand(c), kvCommand(c),
		routeLookup(c), explainCommand(c), diffCommand(c), blameCommand(c), bisectCommand(c), watchCommand(c),
		commitCommand(c), confirmCommand(c), approveCommand(c), rollbackCommand(c), guardCommand(c), freezeCommand(c), timerCommand(c),
		statusCommand(c), readyCommand(c), topCommand(c), supportBundleCommand(c), clusterCommand(c, shared), dataplaneCommand(c), apiCommand(c), versionCommand(c), authCommand(c), whoAmICommand(c))
	root.InitDefaultCompletionCmd()
	standalone(root)
	c.complete(root)
	root.AddCommand(manCommand(root))
	exemplify(root)
	strict(root)
	refuseThePast(root)
	usualNames(root)
	return root
}

// strict makes every wrong number of arguments, every flag that is missing and
// every unknown verb a usage error, in cmd and below.
func strict(cmd *cobra.Command) {
	if !cmd.Runnable() { // a group: alone it explains itself
		cmd.Args = known
		cmd.SuggestionsMinimumDistance = 2
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			for _, check := range []func() error{
				func() error { return check(cmd, args) },
				func() error { return filled(cmd) },
				cmd.ValidateRequiredFlags, cmd.ValidateFlagGroups, // cobra asks again, but does not say of what kind the error is
			} {
				if err := check(); err != nil {
					return usageError{howTo(cmd, err)}
				}
			}
			return nil
		}
	}
	for _, child := range cmd.Commands() {
		strict(child)
	}
}

// filled refuses flags that narrow what a verb is about and that were given an empty
// value, as by a variable that is not set: taken for absent they would make it about
// everything.
func filled(cmd *cobra.Command) error {
	var err error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		switch f.Name {
		case "router", "next-hop", "within", "covering", "tag", "origin", "scope", "prefix", "require":
			if f.Value.String() == "" || f.Value.String() == "[]" {
				err = fmt.Errorf("--%s is empty: leave it out, or name what is meant", f.Name)
			}
		}
	})
	return err
}

// known refuses a verb that a group does not have, and names the nearest.
func known(cmd *cobra.Command, args []string) error {
	err := cobra.NoArgs(cmd, args)
	if err == nil {
		return nil
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("%w; did you mean %s?", err, strings.Join(near, " or "))
	}
	return err
}

// usualNames gives verbs the names that they have elsewhere.
func usualNames(cmd *cobra.Command) {
	switch cmd.Name() {
	case "list":
		cmd.Aliases = append(cmd.Aliases, "ls")
	case "delete":
		cmd.Aliases = append(cmd.Aliases, "remove", "rm")
	case "remove":
		cmd.Aliases = append(cmd.Aliases, "delete", "rm")
	}
	for _, child := range cmd.Commands() {
		usualNames(child)
	}
}

// howTo adds to an error of usage how the command is used.
func howTo(cmd *cobra.Command, err error) error {
	line := cmd.UseLine()
	if cmd.HasSubCommands() {
		line = cmd.CommandPath() + " COMMAND"
	}
	return fmt.Errorf("%w\nUsage: %s\n       %s --help", err, line, cmd.CommandPath())
}

// butOutput are the shared flags that a command has no use for which calls nobody
// and has an answer.
func butOutput(shared []string) []string {
	return slices.DeleteFunc(slices.Clone(shared), func(name string) bool { return name == "output" })
}

// withoutShared hides the flags of clients from a command that calls nobody,
// and refuses them there.
func withoutShared(cmd *cobra.Command, names []string) {
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		for _, name := range names {
			if cmd.Flags().Changed(name) {
				return usageError{fmt.Errorf("--%s has no meaning for %s", name, cmd.CommandPath())}
			}
		}
		return nil
	}
	cmd.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		for _, name := range names {
			_ = cmd.InheritedFlags().MarkHidden(name)
		}
		cmd.Parent().HelpFunc()(cmd, args)
	})
}

// ended is a context that the first signal ends; impatient is called at the
// second SIGINT. A SIGTERM after a SIGINT is no second wish: who starts a group
// of processes sends it to those that the terminal may not have reached.
func ended(signals <-chan os.Signal, impatient func()) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() { // ends with the process, whose signals it takes
		interrupts := 0
		for s := range signals {
			cancel()
			if s == os.Interrupt {
				if interrupts++; interrupts > 1 {
					impatient()
				}
			}
		}
	}()
	return ctx, cancel
}

// Main runs the command and gives the process's exit code; see ExitCode. SIGINT
// and SIGTERM end it in order, a second SIGINT at once, unless it is unhurried.
func Main(args []string) int {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer close(signals)
	defer signal.Stop(signals)
	ctx, cancel := ended(signals, func() {
		if !unhurried.Load() {
			os.Exit(ExitInterrupted)
		}
	})
	defer cancel()
	root := Root(Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Terminal: term.IsTerminal(int(os.Stderr.Fd())), Width: columns(os.Stdout)})
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return ExitOK
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return ExitInterrupted
	}
	reportFailure(os.Stderr, outputOf(args), err)
	return ExitCode(err)
}

// columns of a terminal; 0 of what is none.
func columns(f *os.File) int {
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// message is an error as the terminal shows it: the field at fault first, and
// under which key a change whose outcome is unknown may be repeated.
func message(err error) string {
	text := err.Error()
	var p *client.Problem
	if !errors.As(err, &p) {
		return text
	}
	if p.Field != "" && !strings.Contains(text, p.Field) {
		text = p.Field + ": " + text
	}
	switch p.Status {
	case http.StatusPreconditionFailed:
		var a advised
		if errors.As(err, &a) {
			return text + "\n" + a.advice
		}
		text += "\nIt has changed since: get it again, its new tag is in the last line."
	case http.StatusUnprocessableEntity:
		text += "\nTake another --idempotency-key, or none."
	}
	if p.ID != "" {
		text += "\nRepeat it safely with --idempotency-key " + p.ID
	}
	return text
}
