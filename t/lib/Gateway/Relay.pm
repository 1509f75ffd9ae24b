package Gateway::Relay;

=head1 NAME

Gateway::Relay - what stands between a gateway and Redis, and can be cut

=head1 SYNOPSIS

    my $relay = Gateway::Relay->start($redis->port);

    print $relay->url;
    $relay->pause; $relay->resume;      # a network that swallows everything
    $relay->kill;                       # connections are closed, and refused

=cut

use v5.28;
use warnings;

use IO::Select;
use IO::Socket::INET;

use Gateway::Process qw(finish fork_child);


sub start
{
    my ($class, $to) = @_;

    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64)
        or die "relay: $!\n";

    my $self = bless { port => $listen->sockport }, $class;

    $self->{pid} = fork_child(sub { serve($listen, $to) });

    return $self;
}


sub url    { "redis://127.0.0.1:$_[0]{port}" }
sub pause  { CORE::kill('STOP', $_[0]{pid}) }
sub resume { CORE::kill('CONT', $_[0]{pid}) }
sub kill   { finish($_[0]{pid}) }


# From here on, the child.

sub serve
{
    my ($listen, $to) = @_;

    my $select = IO::Select->new($listen);
    my %peer;

    $SIG{PIPE} = 'IGNORE';

    while (1) {
        for my $sock ($select->can_read) {
            if ($sock == $listen) {
                my $in = $listen->accept or next;
                my $out = IO::Socket::INET->new("127.0.0.1:$to") or next;
                $select->add($in, $out);
                @peer{$in, $out} = ($out, $in);
                next;
            }

            my $other = $peer{$sock} or next;

            my $bytes;

            next if sysread($sock, $bytes, 65536)
                    && syswrite($other, $bytes);

            $select->remove($sock, $other);
            delete @peer{$sock, $other};
            close($_) for $sock, $other;
        }
    }
}


1;
