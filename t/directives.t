# docs/directives.md says what the code has: directives, their contexts,
# parameters and defaults, variables and metrics.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Gateway;
use Test::More;

my $top  = "$FindBin::Bin/..";
my $docs = Gateway::slurp("$top/docs/directives.md");
my $code = join("\n", map { Gateway::slurp($_) }
                      glob("$top/ngx_http_*.c $top/src/{tbucket,lb}/*.[ch]"
                           . " $top/src/{tbucket,lb}/*/*.[ch]"));

# those that both modules have

my $common = join("\n", map { Gateway::slurp("$top/src/$_") }
                        'common/ngx_gw_api.c', 'redis/ngx_gw_redis_conf.c');

my %context = (MAIN => 'http', SRV => 'server', LOC => 'location',
               UPS => 'upstream');

# name => { context, field, enum, setter }, from the tables of commands

my %code;

while ($code =~ /\{\ ngx_string\("(\w+)"\),\s+
                 (NGX_HTTP_\w+_CONF[\w|\s]*),\s+(\w+),\s+
                 NGX_HTTP_\w+_OFFSET,\s+(?:0|offsetof\(\w+,\s(\w+)\)),\s+
                 (?:NULL|&(\w+))\ \}/gx)
{
    my ($name, $flags, $setter, $field, $post) = ($1, $2, $3, $4, $5);
    $code{$name} = {
        context => join(', ', map { $context{$_} }
                              $flags =~ /NGX_HTTP_(\w+?)_CONF/g),
        setter => $setter, field => $field, post => $post,
    };
}

# name => { syntax, default, context }, from the headings and what follows

my %docs;

while ($docs =~ /^\#\#\#\ (\w+)\n\n```\nSyntax:\s+(.*?)
                 ^Default:\s+(.*?)^Context:\s+(.*?)\n```/gmsx)
{
    my ($name, $syntax, $default, $context) = ($1, $2, $3, $4);
    $docs{$name} = { syntax => $syntax, default => $default =~ s/\n\z//r,
                     context => $context };
}

subtest 'every directive is documented, with its contexts' => sub {
    cmp_ok(scalar keys %code, '>', 15, 'the tables are read');
    is_deeply([sort keys %docs], [sort keys %code], 'and have the same names');

    for my $name (sort grep { $docs{$_} } keys %code) {
        is($docs{$name}{context}, $code{$name}{context}, "$name: contexts");
        like($docs{$name}{syntax}, qr/\A(\s*\Q$name\E\b[^;]*;)+\s*\z/,
             "$name: syntax");
    }
};

subtest 'every parameter is documented' => sub {
    my %in_code = map { $_ => 1 } grep { defined }
                  "$code$common" =~ /(?:ngx_string\(|,\s)"([a-z_]+)="
                                    |_is\([^,]+,\s+"([a-z_]+)=
                                    |\{\ ngx_string\("([a-z_]+)"\),\s+
                                     offsetof\(ngx_gw_redis_params_t/gx;
    my %in_docs = map { $_ => 1 } map { $_->{syntax} =~ /\b([a-z_]+)=/g }
                  values %docs;

    is_deeply([sort keys %in_docs], [sort keys %in_code], 'by its name');
};

# What a directive has when it is not there: the value of its field, in the
# words of a configuration.

sub default_of
{
    my ($d) = @_;

    my ($value) = $code =~ /ngx_conf_(?:merge|init)_\w*value\(
                            (?:\w+->\Q$d->{field}\E),\s
                            (?:prev->\w+,\s+)?(\w+)\)/x;
    return undef if !defined $value;

    return $value ? 'on' : 'off' if $d->{setter} eq 'ngx_conf_set_flag_slot';
    return "${value}ms" if $d->{setter} eq 'ngx_conf_set_msec_slot';

    if ($d->{setter} eq 'ngx_conf_set_enum_slot') {
        my ($enum) = $code =~ /ngx_conf_enum_t\s+\Q$d->{post}\E\[\] = (.*?);/s;
        return ($enum =~ /"(\w+)"\), \Q$value\E \}/)[0];
    }

    return $value eq 'NGX_HTTP_TOO_MANY_REQUESTS' ? 429 : $value;
}

subtest 'every default is that of the code' => sub {
    my $n = 0;

    for my $name (sort keys %code) {
        my $d = $code{$name};
        next if !$d->{field} || $d->{setter} !~ /^ngx_conf_set/;

        is($docs{$name}{default}, "$name " . default_of($d) . ';', $name);
        $n++;
    }
    cmp_ok($n, '>=', 6, 'of those with a setter of nginx');

    my ($max) = $code =~ /define NGX_HTTP_LB_KEEPALIVE +(\d+)/;
    my %keep = $code =~ /^\s+lcf->keepalive\.(\w+) = (\d+);/gm;
    is($docs{lb_keepalive}{default},
       "lb_keepalive $max timeout=" . $keep{timeout} / 1000
       . "s requests=$keep{requests} time=" . $keep{time} / 3600000 . 'h;',
       'lb_keepalive');

    my %line = map { $_ => '' } qw(http server location upstream);
    for my $d (values %docs) {
        next if $d->{default} !~ /;/;
        $line{$_} .= "$d->{default}\n" for split(/, /, $d->{context});
    }
    my ($status, $err) = check(<<"END");
        $line{http}
        upstream u { lb random; server 127.0.0.1:9; $line{upstream} }
        server { listen 127.0.0.1:%%PORT%%; $line{server}
                 location / { $line{location} } }
END
    is($status, 0, 'nginx takes all of them, in every context') or diag($err);
};

subtest 'every variable is documented' => sub {
    my @in_code = $code =~ /\{ ngx_string\("(\w+)"\), NULL, \w+_variable,/g;
    my @in_docs = $docs =~ /^\| `\$(\w+)` \|/gm;

    cmp_ok(scalar @in_code, '>', 10, 'the tables are read');
    is_deeply([sort @in_docs], [sort @in_code], 'and have the same names');
};

subtest 'every metric is documented' => sub {
    my $g = gateway(<<'END');
        tbucket_zone $arg_key zone=z:1m rate=1r/h scope=global;
        tbucket_zone $arg_key zone=open:1m inflight=1;
        tbucket_store redis://127.0.0.1:9;
        upstream u { lb random; server 127.0.0.1:9;
                     lb_health_check interval=1h; }
        server { listen 127.0.0.1:%%PORT%%;
                 lb_queue u size=1 timeout=1s limit=auto;
                 location = /tbucket { tbucket_metrics; }
                 location = /lb { lb_metrics; } }
END

    my @served = map { get($g, $_)->{body} =~ /^# TYPE (\w+)/mg }
                 qw(/tbucket /lb);
    my @listed = map { /`(\w+)`/g } $docs =~ /^\|\ ((?:`(?:tbucket|lb)_\w+`
                     (?:,\ )?)+)\ \|\ (?:-|`)/gmx;

    cmp_ok(scalar @served, '>', 10, 'they are served');
    my %served = map { $_ => 1 } @served;
    my %listed = map { $_ => 1 } @listed;
    is_deeply([grep { !$listed{$_} } sort keys %served], [], 'none is missing');
    is_deeply([grep { !$served{$_} } sort keys %listed], [],
              'none is only on paper');
};

done_testing();
