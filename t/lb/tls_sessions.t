# TLS sessions to servers are those of all workers, and stay over reloads.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Gateway::Certs;
use Test::More;

my $ca = Gateway::Certs->new;
my ($cert, $key) = $ca->issue('gateway.test', 'DNS:gateway.test');


sub config
{
    my ($port, $version, $more) = @_;

    $more //= '';

    return <<"END";
    upstream u { lb round_robin; server 127.0.0.1:$port; $more }
    server {
        listen 127.0.0.1:%%PORT%% reuseport;
        keepalive_timeout 0;
        location / {
            proxy_pass https://u;
            proxy_ssl_protocols $version;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate @{[ $ca->file ]};
            proxy_ssl_name gateway.test;
            proxy_ssl_server_name on;
            add_header X-Pid \$pid;
        }
    }
END
}


# Requests until as many workers as that have had some: how they came to the
# server, "." resumed or "new".

sub requests
{
    my ($g, $workers) = @_;

    my (%pid, @made);

    for (1 .. 300) {
        my $r = get($g, '/');
        push @made, $r->{headers}{'x-made'} // $r->{code};
        $pid{ $r->{headers}{'x-pid'} // '' } = 1;
        last if keys %pid == $workers && @made >= 3 * $workers;
    }

    is(scalar keys %pid, $workers, "$workers workers have had requests");

    return @made;
}


for my $version (qw(TLSv1.2 TLSv1.3)) {
    subtest $version => sub {
        my $backend = gateway(<<"END");
    map \$ssl_session_reused \$made { r .; default new; }
    server {
        listen 127.0.0.1:%%PORT%% ssl;
        ssl_certificate $cert;
        ssl_certificate_key $key;
        ssl_protocols $version;
        keepalive_timeout 0;
        location / { add_header X-Made \$made; return 200; }
    }
END
        my $conf = config($backend->port, $version);
        my $g = gateway($conf, workers => 4);

        my @made = requests($g, 4);
        is($made[0], 'new', 'the first handshake is a full one');
        is(scalar(grep { $_ ne '.' } @made), 1, 'of all workers it is the one');

        ok($g->reload, 'reloaded');
        is_deeply([ grep { $_ ne '.' } requests($g, 4) ], [],
                  'after a reload there is none');

        kill('KILL', $_) for $g->workers;
        $g->wait_workers(4);
        is_deeply([ grep { $_ ne '.' } requests($g, 4) ], [],
                  'nor when all workers were killed');

        ok($g->reload($conf =~ s/proxy_ssl_verify on/proxy_ssl_verify off/r),
           'without verification');
        @made = requests($g, 4);
        is(scalar(grep { $_ ne '.' } @made), 1, 'sessions are others');
        ok($g->reload($conf), 'and back');
        is_deeply([ grep { $_ ne '.' } requests($g, 4) ], [],
                  'those of before are there yet');
        $g->quit;
    };
}

done_testing();
