# Tables of configurations that nginx refuses, with the reason and its place.

package Refused;

use v5.28;
use warnings;

use Exporter 'import';
use Gateway;
use Test::More;

our @EXPORT = qw(refused);


# The text of http is the template with each text in the place of "%s".  A
# message is literal, what may follow it up to the place is not, or a pattern
# of the whole line.

sub refused
{
    my ($template, @table) = @_;

    while (my ($text, $message) = splice(@table, 0, 2)) {
        my $line = ref $message ? $message
                 : qr/\[emerg\] .*\Q$message\E.* in \S+nginx\.conf:\d+$/m;
        my $http = $template =~ s/%s/$text/r;
        my ($code, $said) = check($http);

        like("exit code $code\n$said", qr/^exit code 1\n(?s:.*?)$line/,
             'refused: ' . $http =~ s/\s+/ /gr);
    }
}


1;
