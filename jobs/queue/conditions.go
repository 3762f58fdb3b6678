package queue

import (
	"fmt"
	"strings"
)

// A conditions is a WHERE clause that is being built, with its arguments.
type conditions struct {
	list []string
	args []any
}

// add adds a condition without arguments.
func (c *conditions) add(condition string) { c.list = append(c.list, condition) }

// bind adds an argument and returns its placeholder.
func (c *conditions) bind(arg any) string {
	c.args = append(c.args, arg)
	return fmt.Sprintf("$%d", len(c.args))
}

// and adds a condition in which each ? stands for the argument.
func (c *conditions) and(condition string, arg any) {
	c.add(strings.ReplaceAll(condition, "?", c.bind(arg)))
}

// in adds the condition that the column has one of the values.
func (c *conditions) in(column string, values []string) {
	marks := make([]string, len(values))
	for i, value := range values {
		marks[i] = c.bind(value)
	}
	c.add(column + " IN (" + strings.Join(marks, ", ") + ")")
}

// contains adds the condition that one of the expressions contains the text in any case. SQLite lowers
// ASCII only, so the text is also searched as it is, in lower and in upper case.
func (c *conditions) contains(text string, expressions ...string) {
	var alternatives []string
	escape := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)
	search := func(text, format string) {
		mark := c.bind("%" + escape.Replace(text) + "%")
		for _, e := range expressions {
			alternatives = append(alternatives, fmt.Sprintf(format, e)+" LIKE "+mark+` ESCAPE '\'`)
		}
	}
	search(text, "%s")
	search(strings.ToUpper(text), "%s")
	search(strings.ToLower(text), "lower(%s)")
	c.add("(" + strings.Join(alternatives, " OR ") + ")")
}

// where returns the clause and its arguments; "" if there are no conditions.
func (c *conditions) where() (string, []any) {
	if len(c.list) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(c.list, " AND "), c.args
}
