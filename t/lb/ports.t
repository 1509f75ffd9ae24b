# What is missing on this machine is no failure of a server: local ports, files,
# the address to connect from.  In a network namespace of its own, where there
# are four ports.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

BEGIN {
    # before anything is listened on

    if (!$ENV{LB_PORTS}) {
        plan(skip_all => 'needs a network namespace')
            if $> != 0 || system('unshare -n true 2>/dev/null') != 0;

        $ENV{LB_PORTS} = 1;
        exec('unshare', '-n', $^X, (map { "-I$_" } @INC), $0)
            or die "unshare: $!";
    }
}

use Gateway;
use IO::Socket::INET;

# "lo" is down in a new namespace: SIOCSIFFLAGS, IFF_UP | IFF_RUNNING

my $up = pack('a16 s x22', 'lo', 0x41);
socket(my $any, Socket::AF_INET, Socket::SOCK_DGRAM, 0) or die "socket: $!";
ioctl($any, 0x8914, $up) or die "lo: $!";

plan(skip_all => 'the range of local ports cannot be set')
    if !ports('32768 60999');

my $dir = Gateway::temp_dir();

my $to = gateway(<<'END');
    server { listen 127.0.0.1:%%PORT_a%%; listen 127.0.0.1:%%PORT_b%%;
             location / { return 200 $server_port; } }
END
my $servers = join ' ', map { "server 127.0.0.1:" . $to->port($_) . ';' }
                        qw(a b);

for my $level (qw(info emerg)) {
    my $g = gateway(<<"END", log_level => $level);
        upstream u { lb round_robin; lb_outlier errors=2; lb_keepalive 0;
                     $servers }
        server {
            listen 127.0.0.1:%%PORT%%;
            listen unix:$dir/$level;
            location / { proxy_pass http://u; }
            location /bind { proxy_pass http://u; proxy_bind 203.0.113.1; }
            location /lb { lb_api write=on; }
        }
END
    my $at = "unix:$dir/$level";
    my $states = sub {
        my $text = get($at, '/lb/u')->{body};
        return join ' ', $text =~ /"(?:state|failures)":"?(\w+)/g;
    };

    is(get($at, '/')->{code}, 200, "log level $level: a request is answered");

    ports('31000 31003');
    my @held = map { IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                           LocalPort => $_, Listen => 1)
                     or die "port $_: $!" } 31000 .. 31003;

    is(get($at, '/')->{code}, 502, 'no local port') for 1 .. 3;
    is($states->(), 'up 0 up 0', '... and all servers are up');

    @held = ();
    ports('32768 60999');

    is(get($at, '/')->{code}, 200, 'with one there is an answer');

    is(get($at, '/bind')->{code}, 500, 'an address that is not ours')
        for 1 .. 3;
    is($states->(), 'up 0 up 0', '... and all servers are up');

    # no file is free: what is open stays so

    my ($worker) = $g->workers;
    my $c = client($at);
    $c->send("GET /lb/u HTTP/1.1\r\nHost: a\r\n\r\n");
    is($c->response->{code}, 200, 'a client is there');

    my $free = 0;
    $free++ while -l "/proc/$worker/fd/$free";
    is(system("prlimit --pid $worker --nofile=$free:"), 0, 'no more files');
    $c->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    is($c->response->{code}, 500, 'no file');
    is(system("prlimit --pid $worker --nofile=1024:"), 0, 'files');
    is($states->(), 'up 0 up 0', '... and all servers are up');
    unlike($g->log, qr/is down|is ejected|no live servers/, 'nothing is said');
    $g->quit;
}

done_testing();


sub ports
{
    open(my $fh, '>', '/proc/sys/net/ipv4/ip_local_port_range') or return 0;
    print $fh $_[0];
    return close($fh);
}
