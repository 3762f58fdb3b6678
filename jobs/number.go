package jobs

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// A Number is an exact number of any size for inputs and outputs of services,
// as JSON allows it: 0.1 is a tenth and 9007199254740993 is odd. Callers see it
// as a JSON number; where a float64 is exact enough, that is simpler.
type Number struct{ big.Rat }

// maxDigits bounds what a number may have on either side of the point, so that
// a few bytes such as 1e999999999 can't fill the memory.
const maxDigits = 10_000

// Another attempt would not change it.
var errTooLong = fmt.Errorf("the number has more than %d digits: %w", maxDigits, ErrPermanent)

// UnmarshalJSON implements [encoding/json.Unmarshaler].
func (n *Number) UnmarshalJSON(text []byte) error {
	digits, exponent, _ := strings.Cut(strings.ToLower(string(text)), "e")
	e, err := strconv.Atoi("0" + strings.TrimLeft(exponent, "+-"))
	if err != nil || len(digits)+e > maxDigits {
		return errTooLong
	}
	if _, ok := n.SetString(string(text)); !ok {
		return errors.New("expected a number")
	}
	return nil
}

// MarshalJSON implements [encoding/json.Marshaler]. It writes all digits where
// there is an end of them, and else as many as make the float64 that is nearest.
func (n Number) MarshalJSON() ([]byte, error) {
	if n.IsInt() {
		return limited(n.Num().String())
	}
	if digits, exact := n.FloatPrec(); exact {
		return limited(n.FloatString(digits))
	}
	f, _ := n.Float64()
	return strconv.AppendFloat(nil, f, 'g', -1, 64), nil
}

func limited(text string) ([]byte, error) {
	if len(text) > 3*maxDigits { // a product of two has less
		return nil, errTooLong
	}
	return []byte(text), nil
}
