package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dvr/controller/settings"
)

// flagError says what is wrong with a flag in the words of the rest, and what
// may have been meant.
func flagError(cmd *cobra.Command, err error) error {
	var absent *pflag.NotExistError
	var bare *pflag.ValueRequiredError
	var wrong *pflag.InvalidValueError
	var syntax *pflag.InvalidSyntaxError
	switch {
	case errors.As(err, &absent) && absent.GetSpecifiedShortnames() != "":
		return fmt.Errorf("%s has no flag -%s", cmd.CommandPath(), absent.GetSpecifiedName())
	case errors.As(err, &absent):
		text := fmt.Sprintf("%s has no flag --%s", cmd.CommandPath(), absent.GetSpecifiedName())
		if near := nearFlags(cmd, absent.GetSpecifiedName()); len(near) > 0 {
			text += "; did you mean " + strings.Join(near, " or ") + "?"
		}
		return errors.New(text)
	case errors.As(err, &bare):
		return fmt.Errorf("--%s needs a value", bare.GetFlag().Name)
	case errors.As(err, &wrong):
		flag, cause := wrong.GetFlag(), wrong.Unwrap().Error()
		var number *strconv.NumError
		switch kind := flag.Value.Type(); {
		case kind == "duration":
			cause = "want a duration, such as 30s"
		case kind == "bool":
			cause = "want true or false"
		case errors.As(wrong.Unwrap(), &number) && strings.HasPrefix(kind, "uint"):
			cause = "want a whole number that is not negative"
		case errors.As(wrong.Unwrap(), &number):
			cause = "want a number"
		}
		return fmt.Errorf("--%s %q: %s", flag.Name, wrong.GetValue(), cause)
	case errors.As(err, &syntax):
		return fmt.Errorf("%s is no flag", syntax.GetSpecifiedFlag())
	}
	return err
}

// nearFlags lists the flags of cmd that a mistyped name may stand for.
func nearFlags(cmd *cobra.Command, name string) (near []string) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && (len(name) > 1 && strings.HasPrefix(f.Name, name) || settings.Near(name, f.Name)) {
			near = append(near, "--"+f.Name)
		}
	})
	return near
}
