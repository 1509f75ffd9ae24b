# Servers that come and go ten thousand times leave nothing behind: neither
# memory, nor connections, nor slots.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Test::More;

use constant CYCLES => 10_000;

# the first ones have memory allocated that all the others use again

use constant FIRST => 1_000;

# what sanitizers and valgrind hold back is not the worker's

my $exact = ($ENV{TEST_TIME_FACTOR} || 1) == 1;
my $cycles = $exact ? CYCLES : 2 * FIRST;

my $back = gateway(<<'END', connections => 256);
    server {
        listen %%PORT%%;
        keepalive_requests 1000000;
        location / { return 204; }
    }
END

my $port = $back->port;

my $g = gateway(<<"END", workers => 1);
    upstream u { lb round_robin; server 127.0.0.1:$port; }
    server {
        listen 127.0.0.1:%%PORT%%;
        keepalive_requests 1000000;
        location / {
            proxy_pass http://u;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
        location /upstreams { lb_api write=on; }
    }
END

my $client = client($g);


sub ask
{
    my ($method, $uri, $body) = @_;

    my $length = length($body // '');
    my $type = defined $body ? "Content-Type: application/json\r\n" : '';

    $client->send("$method $uri HTTP/1.1\r\nHost: a\r\n$type"
                  . "Content-Length: $length\r\n\r\n" . ($body // ''));

    return $client->response(method => $method) // { code => 0, body => '' };
}


# One server is added, serves, is drained and removed; whether all went well.

sub cycle
{
    my ($i) = @_;

    my $address = sprintf '127.1.%d.%d:%d', $i / 250, 1 + $i % 250, $port;
    my $r = ask(POST => '/upstreams/u/servers', qq({"address":"$address"}));
    my ($id) = $r->{body} =~ /"id":"?([^",}]+)/;

    return $r->{code} == 201 && defined $id
           && ask(GET => '/')->{code} == 204
           && ask(GET => '/')->{code} == 204
           && ask(PATCH => "/upstreams/u/servers/$id",
                  '{"state":"draining"}')->{code} == 200
           && ask(DELETE => "/upstreams/u/servers/$id")->{code} == 204;
}


sub resident
{
    my ($worker) = $g->workers;

    return Gateway::slurp("/proc/$worker/status") =~ /^VmRSS:\s+(\d+)/m
           ? $1 : 0;
}


sub descriptors
{
    my ($worker) = $g->workers;

    return scalar(() = glob "/proc/$worker/fd/*");
}


my $well = 0;
$well += cycle($_) for 0 .. FIRST - 1;

my ($memory, $files) = (resident(), descriptors());

$well += cycle($_) for FIRST .. $cycles - 1;

is($well, $cycles, 'every server came, served, was drained and went');

SKIP: {
    skip 'memory is not the worker\'s alone here', 1 if !$exact;

    cmp_ok(resident() - $memory, '<', 512, 'the worker has not grown by 512k')
        or diag("first $memory kB");
}

cmp_ok(descriptors() - $files, '<', 64, 'connections do not pile up');

my @left = ask(GET => '/upstreams/u')->{body} =~ /"id":/g;
is(scalar @left, 1, 'the server that was there first is left');

unlike($g->log, qr/\[(?:emerg|alert|crit|error)\]/, 'nothing went wrong');

$client->close;
done_testing();
