# What is a failure of a server, and what is not: responses without an end
# are, what is missing here and clients that leave are not.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use IO::Socket::INET;
use Test::More;

my $half = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" . 'x' x 500;
my $chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            . "1f4\r\n" . 'x' x 500 . "\r\n";
my $upgrade = "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade"
              . "\r\n\r\nx";

subtest 'a response without its end' => sub {
    my %port = (
        ends       => raw_server($half, 1),
        chunk_ends => raw_server($chunk, 1),
        stalls     => raw_server($half, 0),
        whole      => raw_server("HTTP/1.0 200 OK\r\n\r\nx", 1),
        upgraded   => raw_server($upgrade, 0),
        waits      => raw_server('', 0),
    );
    my @upstream = sort keys %port;
    my $upstreams = join '', map { <<"END" } @upstream;
        upstream $_ { lb round_robin; lb_outlier errors=3 max_ejected=100;
                      server 127.0.0.1:$port{$_}; }
END
    my $locations = join '', map { <<"END" } @upstream;
        location /$_ { proxy_pass http://$_; }
        location /$_/direct { proxy_pass http://$_; proxy_buffering off; }
END
    my $g = gateway(<<"END");
        $upstreams
        server {
            listen 127.0.0.1:%%PORT%%;
            proxy_http_version 1.1;
            proxy_read_timeout 200ms;
            proxy_next_upstream off;
            proxy_set_header Connection \$http_connection;
            proxy_set_header Upgrade \$http_upgrade;
            $locations
            location /waits/ { proxy_pass http://waits;
                               proxy_read_timeout 20s; }
            location /whole/cut { proxy_pass http://whole; }
            location /lb { lb_api write=on; }
        }
END
    my $server = sub {
        my $text = get($g, "/lb/$_[0]/servers/1")->{body};
        return join ' ', map { $text =~ /"$_":"?([^",}]*)/ ? $1 : '-' }
                         qw(state failures reason);
    };

    for (['ends', 'upstream prematurely closed connection'],
         ['chunk_ends', 'upstream prematurely closed connection'],
         ['stalls', 'timed out (110: Connection timed out)'])
    {
        my ($name, $reason) = @$_;

        get($g, "/$name");
        is($server->($name), 'up 1 ', "$name: a failure");
        get($g, "/$name/direct");
        is($server->($name), 'up 2 ', '... without buffering, too');
        get($g, "/$name");
        is($server->($name), "ejected 3 $reason", '... and the third ejects');
    }

    get($g, '/whole') for 1 .. 4;
    is($server->('whole'), 'up 0 ', 'an end that was not announced is none');

    for (1 .. 4) {
        my $c = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                      PeerPort => $g->port) or die $!;
        print $c "GET /upgraded HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n"
                 . "Connection: upgrade\r\n\r\n";
        like(scalar <$c>, qr/ 101 /, 'an upgraded connection');
        1 while <$c>;
    }

    is(scalar(() = $g->log =~ /upstream timed out.*upgraded/g), 4,
       '... is idle for too long');
    is($server->('upgraded'), 'up 0 ', '... which is no failure');

    for (1 .. 4) {
        my $c = client($g);
        $c->send("GET /waits/ HTTP/1.1\r\nHost: a\r\n\r\n");
        wait_for(sub { get($g, '/lb/waits/servers/1')->{body}
                       =~ /"active":1/ });
        undef $c;
        ok(wait_for(sub { get($g, '/lb/waits/servers/1')->{body}
                          =~ /"active":0/ }), 'a client leaves');
    }

    is($server->('waits'), 'up 0 ', '... which is no failure');
};


# A gRPC server of which every second connection says goodbye.

subtest 'gRPC: a server that closes its connections in order' => sub {
    my $frame = sub {
        my ($type, $flags, $stream, $payload) = @_;
        return substr(pack('N', length $payload), 1)
               . pack('CCN', $type, $flags, $stream) . $payload;
    };

    my $polite = raw_h2($frame->(4, 0, 0, '') . $frame->(7, 0, 0, pack('NN', 0, 0)));
    my $error = raw_h2($frame->(4, 0, 0, '') . $frame->(7, 0, 0, pack('NN', 0, 2)));

    my $g = gateway(<<"END");
        upstream polite { lb round_robin; server 127.0.0.1:$polite; }
        upstream error { lb round_robin; server 127.0.0.1:$error; }
        server {
            listen 127.0.0.1:%%PORT%%;
            location /polite { grpc_pass grpc://polite; }
            location /error { grpc_pass grpc://error; }
            location /lb { lb_api write=on; }
        }
END

    for (['polite', 0], ['error', 1]) {
        my ($name, $failures) = @$_;

        is(get($g, "/$name")->{code}, 502, "$name: the request fails");
        like(get($g, "/lb/$name/servers/1")->{body},
             qr/"failures":$failures\b/, "... $failures failures");
    }
};


done_testing();


sub raw_h2
{
    my ($answer) = @_;
    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64)
        or die "listen: $!";

    Gateway::Process::fork_child(sub {
        while (my $c = $listen->accept) {
            sysread($c, my $in, 65536);
            syswrite($c, $answer);
            1 while sysread($c, $in, 65536);
        }
    });

    return $listen->sockport;
}
