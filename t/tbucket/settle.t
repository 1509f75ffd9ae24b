# "settle": what a request really cost is charged when it is over, into debt,
# or given back.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Clients;
use Gateway;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep time);

my $conf = <<'END';
    tbucket_zone $arg_k zone=z:1m rate=1r/h capacity=100;
    tbucket_zone $arg_k zone=fast:1m rate=100r/s capacity=100;
    tbucket_zone $arg_k zone=other:1m rate=1r/h capacity=100;
    log_format cost '$uri k=$arg_k $status $tbucket_status cost=$tbucket_cost';
    access_log %%DIR%%/logs/cost.log cost;
    map $status $by_status { 401 7; 499 5; 502 9; default ''; }

    server {
        listen 127.0.0.1:%%PORT%%;
        root %%DIR%%/html;
        proxy_intercept_errors off;

        location /header { tbucket zone=z cost=10 settle=$upstream_http_x_cost;
                           proxy_pass http://backend; }
        location /free { tbucket zone=z cost=0 settle=$arg_c; try_files /none @ok; }
        location /fast { tbucket zone=fast cost=10 settle=$arg_c; try_files /none @ok; }
        location /status { tbucket zone=z settle=$by_status;
                           proxy_pass http://backend; }
        location /down { tbucket zone=z settle=$by_status;
                         proxy_pass http://127.0.0.1:1; }
        location /bytes { tbucket zone=z cost=1 settle=$bytes_sent;
                          proxy_pass http://backend; }
        location /upgrade { tbucket zone=z cost=1 settle=$bytes_sent;
                            proxy_http_version 1.1;
                            proxy_set_header Upgrade $http_upgrade;
                            proxy_set_header Connection upgrade;
                            proxy_pass http://%%UPGRADE%%; }
        location /two { tbucket zone=z cost=10 settle=$arg_a;
                        tbucket zone=other cost=20 settle=$arg_b;
                        try_files /none @ok; }
        location /redirect { tbucket zone=z cost=10 settle=3;
                             error_page 404 = /redirected; }
        location /redirected { tbucket zone=other cost=50 settle=60;
                               try_files /none @ok; }
        location @ok { add_header X-Cost $tbucket_cost always; return 204; }
        location /dry { tbucket_dry_run on;
                        tbucket zone=z cost=10 settle=$arg_c; try_files /none @ok; }
        location = /show { add_header X-Cost "$tbucket_cost."; try_files /none =204; }
        location = /cost { tbucket zone=z cost=$arg_c; try_files /none @ok; }
        location /clients { tbucket_api zone=z write=on; }
        location /others { tbucket_api zone=other write=on; }
        location /fasts { tbucket_api zone=fast write=on; }
        location = /metrics { tbucket_metrics; }
    }
    upstream backend { server %%BACKEND%%; }
END

my $b = backend(answer => sub {
    my ($r) = @_;

    my ($cost) = $r->{uri} =~ /cost=([^&]*)/;
    return { defined $cost ? (headers => { 'X-Cost' => $cost }) : () };
});

# an upstream that speaks something else than HTTP after 101

my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5)
    or die "listen: $!\n";
my $upgraded = '127.0.0.1:' . $listener->sockport;

$conf =~ s/%%BACKEND%%/$b->address/e;
$conf =~ s/%%UPGRADE%%/$upgraded/;

my $g = gateway($conf, workers => 2);


# The tokens of a client, as whole ones: time earns next to nothing.

sub tokens
{
    my ($k, $api) = @_;

    my $r = get($g, ($api // '/clients') . "/$k");

    return $r->{code} == 404 ? 100 : $r->{body} =~ /"tokens":(-?[\d.]+)/
                             ? sprintf('%.0f', $1) + 0 : $r->{body};
}


# The log phase comes after the response.

sub tokens_are
{
    my ($k, $want, $what, $api) = @_;

    my $is;
    wait_for(sub { ($is = tokens($k, $api)) eq $want }, 5);
    is($is, $want, $what);
}


sub logged
{
    my ($k) = @_;

    my @lines;
    wait_for(sub {
        open(my $in, '<', $g->dir . '/logs/cost.log') or return 0;
        @lines = grep { / k=$k / } <$in>;
        return scalar @lines;
    }, 5);

    return $lines[-1] // '';
}


sub metric
{
    my ($name, $zone) = @_;

    return get($g, '/metrics')->{body}
           =~ /^\Q$name\E\{zone="$zone"\} (\d+)$/m ? $1 : undef;
}


is(get($g, '/header?k=more&cost=25')->{code}, 200, 'admitted at its estimate');
tokens_are('more', 75, 'what was taken too little is charged');
like(logged('more'), qr/ 200 PASSED cost=25$/, 'the access log has it');

get($g, '/header?k=less&cost=2.5');
tokens_are('less', 98, 'what was taken too much is given back');
like(logged('less'), qr/ cost=2\.5$/, 'the access log has it');

get($g, "/header?k=none$_") for '', '&cost=', '&cost=x', '&cost=-1',
                                '&cost=1e3';
tokens_are('none', 50, 'an empty or invalid value leaves the cost as it was');
like(logged('none'), qr/ cost=10$/, 'the access log has that');

get($g, '/header?k=zero&cost=0');
tokens_are('zero', 100, '0 gives all of it back');

get($g, '/header?k=full&cost=0') for 1 .. 3;
tokens_are('full', 100, 'up to the capacity');

get($g, '/free?k=debt&c=1100');
tokens_are('debt', -1000, 'a cost above what is left becomes debt');
is(get($g, '/free?k=debt&c=1')->{code}, 429, 'which even free requests wait for');
my $r = get($g, '/header?k=debt&cost=1');
is($r->{code}, 429, 'as others do');
is($r->{headers}{'retry-after'}, 3600 * 1010,
   'for exactly as long as debt and cost take to refill');
like($r->{headers}{ratelimit}, qr/^"z";r=0;t=3636000$/, 'which headers say');
tokens_are('debt', -1000, 'a request that is refused is not settled');

get($g, '/free?k=deep&c=99999999');
tokens_are('deep', -99511, 'debt ends at its floor');
like(logged('deep'), qr/ cost=99611$/, 'and the cost is what was charged');

my $begin = time();
get($g, '/fast?k=quick&c=150');
sleep(0.02);
is(get($g, '/fast?k=quick&c=150')->{code}, 429, 'a bucket in debt refuses');
ok(wait_for(sub { get($g, '/fast?k=quick&c=10')->{code} == 204 }, 5),
   'until the debt is refilled');
cmp_ok(time() - $begin, '>=', 0.59, 'and the cost of the next');
cmp_ok(time() - $begin, '<', 1.5, 'and not for longer');

get($g, '/two?k=two&a=1&b=30');
tokens_are('two', 99, 'of several limits each has its own');
tokens_are('two', 70, 'of several limits each has its own', '/others');

get($g, '/redirect/x?k=redirect');
tokens_are('redirect', 97, 'once where there is an internal redirect');
is(tokens('redirect', '/others'), 100, 'and by the first limit');

get($g, '/dry?k=dry&c=120');
tokens_are('dry', -20, 'a limit in dry run settles what it has admitted');
is(get($g, '/dry?k=dry&c=120')->{code}, 204, 'admits the rest');
sleep(0.1);
is(tokens('dry'), -20, 'and does not settle what it would have refused');
like(logged('dry'), qr/ REJECTED_DRY_RUN cost=0$/, 'which cost nothing');

# whatever ended the request

get($g, '/down?k=down');
tokens_are('down', 91, 'an upstream that is not there');

my $c = client($g);
$c->send("GET /status?k=gone&action=hang HTTP/1.1\r\nHost: a\r\n\r\n");
ok(wait_for(sub { tokens('gone') == 99 }), 'a request is under way');
$c->reset;
tokens_are('gone', 95, 'a client that goes away');
like(logged('gone'), qr/ 499 PASSED cost=5$/, 'is in the log with what it cost');

get($g, '/bytes?k=bytes&size=1000');
ok(wait_for(sub { tokens('bytes') < 0 }), 'bytes that were sent');
cmp_ok(-tokens('bytes'), '>=', 1000 - 100, 'are those of the body');
cmp_ok(-tokens('bytes'), '<', 2000 - 100, 'and of the headers');

$c = client($g);
$c->send("GET /upgrade?k=upgrade HTTP/1.1\r\nHost: a\r\n"
         . "Connection: upgrade\r\nUpgrade: x\r\n\r\n");
my $peer = $listener->accept;
ok($peer, 'a connection is upgraded');
sysread($peer, my $head, 4096);
syswrite($peer, "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
syswrite($peer, 'x' x 500);
sleep(0.2);
is(tokens('upgrade'), 99, 'is not settled before it is closed');
close($peer);
ok(wait_for(sub { tokens('upgrade') < -400 }), 'and is when it is');

# the variable

is(get($g, '/show')->{headers}{'x-cost'}, '.', 'without a limit there is no cost');
is(get($g, '/cost?k=var&c=0.25')->{headers}{'x-cost'}, '0.25', 'the cost as it was taken');
is(get($g, '/cost?k=var&c=x')->{headers}{'x-cost'}, '1', 'one that is invalid is 1');

# metrics

my $settled = metric('tbucket_settled_total', 'other');
get($g, '/two?k=metric&a=1&b=30');
ok(wait_for(sub { metric('tbucket_settled_total', 'other') == $settled + 1 }),
   'a metric counts what was settled');
get($g, '/two?k=metric&a=1&b=');
sleep(0.1);
is(metric('tbucket_settled_total', 'other'), $settled + 1,
   'and not what was left as it was');

# a reload in between

$c = client($g);
$c->send("GET /header?k=reload&cost=40&delay=2 HTTP/1.1\r\nHost: a\r\n\r\n");
ok(wait_for(sub { tokens('reload') == 90 }), 'a request is under way');
ok($g->reload($conf =~ s/cost=10 settle=\$arg_c/cost=11/gr), 'at a reload');
is(tokens('debt'), -1000, 'which keeps debt');
is($c->response->{code}, 200, 'the request ends');
tokens_are('reload', 60, 'and is settled by the worker that has it');

# a worker that dies

$c = client($g);
$c->send("GET /header?k=killed&cost=0&action=hang HTTP/1.1\r\nHost: a\r\n\r\n");
ok(wait_for(sub { tokens('killed') == 90 }), 'a request is under way');
my %before = map { $_ => 1 } $g->workers;
kill('KILL', keys %before);
ok(wait_for(sub { my @w = $g->workers; @w == 2 && !grep { $before{$_} } @w }),
   'its worker is killed');
is(tokens('killed'), 90, 'what it had taken stays charged');
is(tokens('debt'), -1000, 'and debt stays debt');

is($g->quit, 0, 'nginx stops');
unlike($g->log, qr/\[(?:alert|emerg|crit)\](?!.*exited on signal 9)/,
       'nothing is wrong in the log');

done_testing();
