# tbucket_metrics: every number is right, and Prometheus accepts the text.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Test::More;

my $g = gateway(<<'END', workers => 2);
    tbucket_zone $arg_key zone=a:1m rate=1r/h capacity=3;
    tbucket_zone $arg_key zone=b:32k rate=1r/h capacity=1000;
    server {
        listen 127.0.0.1:%%PORT%%;
        client_max_body_size 2m;
        location /a { tbucket zone=a; try_files /none =204; }
        location /b { tbucket zone=b; try_files /none =204; }
        location /dry { tbucket zone=a; tbucket_dry_run on;
                        try_files /none =204; }
        location /clients { tbucket_api zone=a write=on; }
        location /metrics { tbucket_metrics; limit_except GET { deny all; } }
        location /open { tbucket_metrics; }
    }
END


# name{labels} -> value; buckets are as of the last tick

sub metrics
{
    my $text = get($g, '/metrics')->{body};
    return { map { /^([^# ]\S*) (\S+)$/ ? ($1 => $2) : () }
             split /\n/, $text };
}


sub samples { my ($m, @names) = @_; return join ' ', map { $m->{$_} // '-' }
                                                     @names }

sub requests { map { "tbucket_requests_total{zone=\"$_[0]\",result=\"$_\"}" }
               qw(passed rejected dry_run) }

sub zones { map { "$_[0]\{zone=\"$_\"}" } qw(a b) }


# The buckets of both zones, once they are these, or as they are.

sub buckets
{
    my ($want) = @_;

    my $got;
    wait_for(sub {
        $got = samples(metrics(), zones('tbucket_buckets'));
        return $got eq $want;
    });

    return $got;
}


my $m = metrics();

is(samples($m, requests('a'), requests('b')), '0 0 0 0 0 0', 'at first none');
is(samples($m, zones('tbucket_buckets')), '0 0', 'no buckets');
is(samples($m, zones('tbucket_clients')), '0 0', 'no clients');
is(samples($m, zones('tbucket_evictions_total')), '0 0', 'no evictions');
is(samples($m, zones('tbucket_zone_bytes')), '1048576 32768', 'sizes');
is(samples($m, 'tbucket_store_up', 'tbucket_store_sync_seconds'), '1 NaN',
   'memory is always in order, and never agreed with a store');

load($g, '/a?key=x', requests => 5, connections => 5);
load($g, '/a?key=y', requests => 1);
load($g, '/dry?key=x', requests => 4);
load($g, '/b?key=x', requests => 2);
get($g, '/a');

$m = metrics();

is(samples($m, requests('a'), requests('b')), '4 2 4 2 0 0',
   'requests are counted by zone and result, the unlimited not');
is(buckets('2 1'), '2 1', 'buckets are counted');

request($g, 'POST', '/clients',
        headers => { 'Content-Type' => 'application/json' },
        body => '[' . join(',', map { "{\"client_id\":\"c$_\",\"capacity\":1,"
                                      . '"rate_per_sec":1}' } 1 .. 500)
                . ']');
request($g, 'DELETE', '/clients/c1');

$m = metrics();

is(samples($m, zones('tbucket_clients')), '499 0', 'clients are counted');
is(buckets('501 1'), '501 1', 'and have buckets');

load($g, sub { "/b?key=$_[0]" }, requests => 3000, connections => 8);

$m = metrics();

cmp_ok($m->{'tbucket_evictions_total{zone="b"}'}, '>', 500,
       'a flood of keys shows in the evictions');
is($m->{'tbucket_evictions_total{zone="a"}'}, 0, 'of its zone alone');

ok($g->reload, 'reloaded');

is(samples(metrics(), requests('a')), '4 2 4', 'a reload keeps the counts');

my $r = get($g, '/metrics');
is($r->{code}, 200, 'status');
is($r->{headers}{'content-type'}, 'text/plain; version=0.0.4; charset=utf-8',
   'type');

is(request($g, 'HEAD', '/metrics')->{body}, '', 'HEAD has no body');

$r = request($g, 'POST', '/open', body => '{}');
is($r->{code}, 405, 'POST is not allowed');
is($r->{headers}{allow}, 'GET, HEAD', 'it says what is');
is(request($g, 'POST', '/metrics', body => '{}')->{code}, 403,
   'limit_except comes first');

my ($version) = Gateway::slurp("$FindBin::Bin/../../debian/changelog")
                =~ /\((\S+)\)/;
is(metrics()->{"tbucket_build_info{version=\"$version\"}"}, 1,
   'the version is that of the packages');

my $file = $g->dir . '/metrics.txt';
open(my $out, '>', $file) or die "$file: $!\n";
print $out get($g, '/metrics')->{body};
close($out) or die "$file: $!\n";

is(`promtool check metrics <$file 2>&1`, '', 'promtool has nothing to say');
is($?, 0, 'and is content');

my ($code, $text) = check(<<'END');
    server { location / { tbucket_metrics; tbucket_metrics; } }
END
isnt($code, 0, 'twice in one place');
like($text, qr/\[emerg\] .*"tbucket_metrics" directive is duplicate in .*:\d/,
     'it says so');

($code, $text) = check('tbucket_metrics on;');
isnt($code, 0, 'with a parameter, and not in a location');

my $none = gateway('server { listen 127.0.0.1:%%PORT%%;
                             location / { tbucket_metrics; } }');
like(get($none, '/')->{body}, qr/^tbucket_store_up 1$/m,
     'without a zone there is still an answer');

# The time since the store agreed is known once it has done so.

my $store = 'redis://127.0.0.1:' . free_port();
my $text_of = sub { return <<"END" };
    tbucket_zone \$arg_key zone=a:1m rate=1r/s;
    tbucket_store $_[0];
    server { listen 127.0.0.1:%%PORT%%; location / { tbucket_metrics; } }
END

my $away = gateway($text_of->($store));
ok(wait_for(sub { get($away, '/')->{body} =~ /^tbucket_store_up 0$/m }),
   'a store that is away is down');
like(get($away, '/')->{body}, qr/^tbucket_store_sync_seconds NaN$/m,
     'and never agreed');

my $there = gateway($text_of->('sqlite:%%DIR%%/store/c.db'));
ok(wait_for(sub {
    get($there, '/')->{body} =~ /^tbucket_store_sync_seconds \d\.?\d*$/m
}), 'one that is there agrees');

done_testing();
