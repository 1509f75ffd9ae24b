# Health checks over TLS, and what else a check may send.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Gateway::Certs;
use IO::Socket::INET;
use Test::More;

my $ca = Gateway::Certs->new;
my $other = Gateway::Certs->new;

my %cert = (
    good    => [ $ca->issue('a.test', 'DNS:a.test') ],
    address => [ $ca->issue('address', 'IP:127.0.0.1') ],
    expired => [ $ca->issue('a.test', 'DNS:a.test', expired => 1) ],
    unknown => [ $other->issue('a.test', 'DNS:a.test') ],
);


# A server with each certificate, one that knows a name only, one that has
# TLS 1.3 only, and one that speaks no TLS.

my $backend = gateway(join("\n", map({ <<"END" } sort keys %cert), <<"END"));
    server {
        listen 127.0.0.1:%%PORT_$_%% ssl;
        ssl_certificate $cert{$_}[0];
        ssl_certificate_key $cert{$_}[1];
        location / { return 200 "\$ssl_server_name\\n"; }
        location /missing { return 404; }
    }
END
    server {
        listen 127.0.0.1:%%PORT_named%% ssl default_server;
        ssl_certificate $cert{good}[0];
        ssl_certificate_key $cert{good}[1];
        ssl_reject_handshake on;
    }
    server {
        listen 127.0.0.1:%%PORT_named%% ssl;
        server_name a.test;
        ssl_certificate $cert{good}[0];
        ssl_certificate_key $cert{good}[1];
        location / { return 200; }
    }
    server {
        listen 127.0.0.1:%%PORT_tls13%% ssl;
        ssl_protocols TLSv1.3;
        ssl_certificate $cert{good}[0];
        ssl_certificate_key $cert{good}[1];
        location / { return 200; }
    }
    server {
        listen 127.0.0.1:%%PORT_plain%%;
        location / { return 200; }
    }
END


# The line of a server's change, or that of its check

sub checked
{
    my ($port, $parameters, $wanted) = @_;

    my $g = gateway(<<"END", log_level => 'info');
    upstream u {
        lb round_robin;
        server 127.0.0.1:@{[ $backend->port($port) ]};
        lb_health_check $parameters interval=100ms fall=1 rise=1 mandatory;
    }
    server { listen 127.0.0.1:%%PORT%%; location / { proxy_pass https://u; } }
END

    my $line = $g->wait_log($wanted) // '';
    $line = $g->log if $line eq '';
    $g->quit;

    return $line;
}


sub passes
{
    my ($port, $parameters, $title) = @_;

    like(checked($port, $parameters, qr/is up: 1 check passed/),
         qr/is up: 1 check passed/, $title);
}


sub fails
{
    my ($port, $parameters, $reason, $title) = @_;

    like(checked($port, $parameters, qr/check of server .* failed/),
         qr/failed: $reason/, $title);
}


my $verified = 'https tls_ca=' . $ca->file;

passes('good', 'https', 'a server over TLS is checked');
passes('good', 'https body=a.test host=a.test:8443',
       'the name of the host is sent');
passes('good', 'https body=a.test tls_name=a.test', 'or the one of tls_name');
passes('named', 'https tls_name=a.test host=a.test', 'to a server that wants one');
fails('named', 'https', 'TLS: .*(unrecognized name|handshake)',
      'which fails without');
passes('tls13', 'https', 'TLS 1.3 alone will do');
fails('plain', 'https', 'TLS: .*wrong version number', 'no TLS will not');
fails('good', 'https uri=/missing', 'status 404', 'the answer is judged');

passes('expired', 'https', 'without tls_ca nothing is verified');
passes('good', "$verified tls_name=a.test", 'a certificate is verified');
passes('good', "$verified host=a.test", 'for the name of the host, too');
fails('good', "$verified tls_name=b.test",
      'TLS: certificate is not accepted: .*[Hh]ostname mismatch',
      'one of another name is not accepted');
fails('good', $verified,
      'TLS: certificate is not accepted: .*[Hh]ostname mismatch',
      'nor for the name of the upstream');
fails('expired', "$verified tls_name=a.test",
      'TLS: certificate is not accepted: certificate has expired',
      'nor an expired one');
fails('unknown', "$verified tls_name=a.test",
      'TLS: certificate is not accepted: (unable|self)',
      'nor one of an authority that is not known');
passes('address', "$verified tls_name=127.0.0.1", 'an address will do');
fails('good', "$verified tls_name=127.0.0.1",
      'TLS: certificate is not accepted: IP address mismatch',
      'if the certificate has it');


subtest 'a server that is silent in the handshake times out' => sub {
    my $silent = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                       Listen => 128) or die $!;
    my $g = gateway(<<"END");
    upstream u {
        lb round_robin;
        server 127.0.0.1:@{[ $silent->sockport ]};
        lb_health_check https interval=100ms timeout=200ms fall=2;
    }
    server { listen 127.0.0.1:%%PORT%%; location / { proxy_pass https://u; } }
END
    like($g->wait_log(qr/is down/), qr/is down: timed out \(110/, 'it is down');
    ok($g->reload, 'reloaded with handshakes under way');
    $g->quit;
    unlike($g->log, qr/alert|open socket/, 'nothing is left over');
};


subtest 'header lines' => sub {
    my $b = backend(answer => sub {
        my ($r) = @_;
        return { status => 200, body => join('|', map { $_ // '-' }
            @{ $r->{headers} }{qw(x-check authorization user-agent host)}) };
    });

    for (['X-Check: a b' => 'a b|-|nginx (health check)|u'],
         ['Authorization:Bearer x', 'X-Check: y z ',
         'y z|Bearer x|nginx (health check)|u'],
         ['User-Agent: me' => '-|-|me|u'],
         ['X-Check:' => '|-|nginx (health check)|u']) {
        my ($body, @lines) = reverse @$_;
        my $headers = join ' ', map({ qq(header="$_") } @lines[1 .. $#lines]),
                           qq("header=$lines[0]");
        my $g = gateway(<<"END");
    upstream u {
        lb round_robin;
        @{[ $b->server ]}
        lb_health_check $headers "body=$body" interval=100ms rise=1 mandatory;
    }
    server { listen 127.0.0.1:%%PORT%%; location / { proxy_pass http://u; } }
END
        ok($g->wait_log(qr/is up: 1 check/), join(', ', @lines)) or diag($g->log);
        $g->quit;
    }
};

done_testing();
