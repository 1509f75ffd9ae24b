package Gateway::Example;

# The configurations of conf/, as gateway() wants them.

use v5.28;
use warnings;

use Cwd ();
use Exporter qw(import);

our @EXPORT_OK = qw(example);

my $conf = Cwd::abs_path(__FILE__ =~ s{[^/]*$}{}r . '../../../conf');


# An example without what Gateway.pm adds of its own, with our paths, and with
# its ports and servers replaced: each expression by the text after it.

sub example
{
    my ($name, @replace) = @_;

    open(my $in, '<', "$conf/$name") or die "$conf/$name: $!\n";
    my $text = do { local $/; <$in> };

    $text =~ s/^(load_module|user|pid|error_log|worker_\w+) [^;]*;.*\n//gm;
    $text =~ s/^events \{.*?^\}\n//ms;
    $text =~ s/^http \{/http {\n%%TEMP%%/m if $text !~ /_temp_path/;
    $text =~ s{/var/(?:log|lib)/nginx/}{%%DIR%%/}g;
    $text =~ s{(_temp_path )temp|(sqlite:)store}{($1 // $2) . '%%DIR%%'}ge;
    $text =~ s{(access_log )access}{$1%%DIR%%/access}g;
    $text =~ s{/usr/share/nginx-gateway/}{$conf/}g;
    $text =~ s{((?:include|root) )(snippets|dashboard)\b}{$1$conf/$2}g;
    $text =~ s/^.*listen \[::\].*\n//gm;
    $text =~ s{%%TEMP%%}{join '', map { "${_}_temp_path %%DIR%%/$_;\n" }
                         qw(client_body proxy fastcgi scgi uwsgi)}e;

    while (my ($from, $to) = splice(@replace, 0, 2)) {
        $text =~ s/$from/$to/g or die "$name: no $from\n";
    }

    return $text;
}


1;
