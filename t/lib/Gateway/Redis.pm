package Gateway::Redis;

=head1 NAME

Gateway::Redis - a real redis-server, or a sentinel

=head1 SYNOPSIS

    my $r = redis();                       # 127.0.0.1, a free port
    my $r = redis(unix => 1);              # a unix socket only
    my $r = redis(password => 'secret', appendonly => 1);
    my $s = redis(replicaof => $r);
    my $w = sentinel(master => $r, name => 'mymaster', quorum => 1);

    print $r->port, $r->path, $r->url;     # redis://:secret@127.0.0.1:1234
    my $value = $r->command('HGET', 'key', 'field');
    my $list  = $r->command('KEYS', '*');  # a reference to a list

    $r->kill; $r->stop; $r->start_again;   # port and data directory remain
    $r->pause; $r->resume;                 # SIGSTOP, SIGCONT

=head1 DESCRIPTION

TEST_REDIS in the environment says how the C<url> of a server that is no
replica leads there: C<tls>, C<unix>, C<sentinel>, or C<cluster> (of one
node).  Where a test wants what that way cannot do, it is TCP as ever; so it is
with the option C<plain>.  TEST_REDIS_SERVER is another program than
redis-server.

C<command> dies with Redis' text when Redis answers with an error.  Other
options are settings of redis.conf: C<redis(maxmemory =E<gt> '1mb')>.

=cut

use v5.28;
use warnings;

use IO::Socket::INET;
use IO::Socket::UNIX;

use Gateway::Certs;
use Gateway::Process qw(alive finish free_port spawn temp_dir wait_exit
                        wait_for);


sub start
{
    my ($class, %option) = @_;

    my $self = bless { dir => temp_dir(), setting => {} }, $class;

    $self->{password} = delete $option{password};
    $self->{path}     = "$self->{dir}/redis.sock" if delete $option{unix};
    $self->{port}     = delete $option{port}
                        // ($self->{path} ? 0 : free_port());

    my $master = delete $option{replicaof};
    my $way = delete $option{plain} ? '' : $ENV{TEST_REDIS} // '';

    my %setting = (
        bind       => '127.0.0.1',
        port       => $self->{port},
        dir        => $self->{dir},
        save       => '""',
        appendonly => delete $option{appendonly} ? 'yes' : 'no',
        appendfsync => 'always',
        'repl-diskless-sync-delay' => 0,
        %option,
    );
    $setting{requirepass} = $setting{masterauth} = $self->{password}
        if defined $self->{password};
    $setting{unixsocket} = $self->{path} if $self->{path};
    $setting{replicaof} = '127.0.0.1 ' . $master->port if $master;

    $way = '' if $master || $self->{path}
        || grep { /^(?:tls|cluster)-/ } keys %option;

    $self->by_tls(\%setting) if $way eq 'tls';
    $self->{path_too} = $setting{unixsocket} = "$self->{dir}/redis.sock"
        if $way eq 'unix' && !defined $self->{password};
    @setting{qw(cluster-enabled cluster-port)} = ('yes', free_port())
        if $way eq 'cluster';

    $self->write_settings(\%setting);
    $self->start_again;

    if ($way eq 'cluster') {
        $self->command('CLUSTER', 'ADDSLOTSRANGE', 0, 16383);
        wait_for(sub { $self->command('CLUSTER', 'INFO')
                       =~ /cluster_state:ok/ });
        $self->{scheme} = 'redis+cluster';
    }

    $self->{sentinel_of} = $class->start_sentinel(master => $self)
        if $way eq 'sentinel';

    return $self;
}


# Speaks TLS on a port besides.

sub by_tls
{
    my ($self, $setting) = @_;

    state $ca = Gateway::Certs->new;
    state @cert = $ca->issue('redis', 'IP:127.0.0.1');

    $self->{tls} = free_port();
    $self->{ca} = $ca->file;

    @$setting{qw(tls-port tls-cert-file tls-key-file tls-ca-cert-file
                 tls-auth-clients)}
        = ($self->{tls}, @cert, $ca->file, 'no');
}


sub start_sentinel
{
    my ($class, %option) = @_;

    my $self = bless { dir => temp_dir(), sentinel => 1 }, $class;

    my $master = delete $option{master};
    my $name   = delete $option{name} // 'mymaster';
    my $quorum = delete $option{quorum} // 1;

    $self->{port} = free_port();
    $self->{password} = delete $option{password};

    my @lines = (
        "sentinel monitor $name 127.0.0.1 " . $master->port . " $quorum",
        "sentinel down-after-milliseconds $name 500",
        "sentinel failover-timeout $name 3000",
    );
    push @lines, "sentinel auth-pass $name $master->{password}"
        if defined $master->{password};

    my %setting = (bind => '127.0.0.1', port => $self->{port},
                   dir => $self->{dir}, %option);
    $setting{requirepass} = $self->{password} if defined $self->{password};

    $self->write_settings(\%setting, @lines);
    $self->start_again;

    return $self;
}


sub write_settings
{
    my ($self, $setting, @lines) = @_;

    open(my $out, '>', "$self->{dir}/redis.conf") or die "redis.conf: $!\n";
    print $out map({ "$_ $setting->{$_}\n" } sort keys %$setting),
               map({ "$_\n" } @lines);
    close($out) or die "redis.conf: $!\n";
}


sub start_again
{
    my ($self) = @_;

    my $out = "$self->{dir}/redis.log";

    delete $self->{sock};
    my $server = $ENV{TEST_REDIS_SERVER} // 'redis-server';
    $self->{pid} = spawn($out, '/usr/bin/env', $server,
                         "$self->{dir}/redis.conf",
                         $self->{sentinel} ? '--sentinel' : ());

    my $path = $self->{path} // $self->{path_too};

    wait_for(sub { !alive($self->{pid})
                   || (eval { $self->command('PING') }
                       && (!$path || -S $path)
                       && (!$self->{scheme}
                           || $self->command('CLUSTER', 'INFO')
                              =~ /cluster_state:ok/)) });

    die "redis-server does not start, see $out\n" if !alive($self->{pid});
}


sub pid  { $_[0]{pid} }
sub port { $_[0]{port} }
sub path { $_[0]{path} }
sub dir  { $_[0]{dir} }


sub url
{
    my ($self) = @_;

    my $user = defined $self->{password} ? ":$self->{password}@" : '';

    return "redis+unix:" . ($self->{path} // $self->{path_too})
        if $self->{path} || $self->{path_too};
    return "rediss://${user}127.0.0.1:$self->{tls} tls_ca=$self->{ca}"
        if $self->{tls};
    return "redis+sentinel://${user}127.0.0.1:$self->{sentinel_of}{port}"
           . '/mymaster' if $self->{sentinel_of};

    return ($self->{scheme} // 'redis') . "://${user}127.0.0.1:$self->{port}";
}


sub kill   { delete $_[0]{sock}; finish($_[0]{pid}) }
sub stop   { delete $_[0]{sock}; CORE::kill('TERM', $_[0]{pid});
             wait_exit($_[0]{pid}, 10) }
sub pause  { CORE::kill('STOP', $_[0]{pid}) }
sub resume { CORE::kill('CONT', $_[0]{pid}) }


sub command
{
    my ($self, @words) = @_;

    my $value = eval { $self->exchange(@words) };
    if ($@) {
        delete $self->{sock};
        die $@;
    }

    die "$$value\n" if ref $value eq 'SCALAR';

    return $value;
}


sub exchange
{
    my ($self, @words) = @_;

    if (!$self->{sock}) {
        $self->{sock} = $self->{path}
            ? IO::Socket::UNIX->new(Peer => $self->{path})
            : IO::Socket::INET->new("127.0.0.1:$self->{port}");
        die "cannot connect to redis: $!\n" if !$self->{sock};

        if (defined $self->{password}) {
            $self->exchange('AUTH', $self->{password});
        }
    }

    local $SIG{PIPE} = 'IGNORE';

    print { $self->{sock} } '*' . @words . "\r\n",
        map { '$' . length($_) . "\r\n$_\r\n" } @words;
    $self->{sock}->flush;

    return $self->reply;
}


sub reply
{
    my ($self) = @_;

    my $line = readline($self->{sock}) // die "redis closed the connection\n";
    $line =~ s/\r\n$//;

    my ($type, $rest) = $line =~ /^(.)(.*)$/s;

    return $rest if $type eq '+' || $type eq ':';
    return \"$rest" if $type eq '-';

    if ($type eq '$') {
        return undef if $rest < 0;

        read($self->{sock}, my $value, $rest + 2) == $rest + 2
            or die "redis closed the connection\n";
        return substr($value, 0, $rest);
    }

    return undef if $rest < 0;
    return [map { $self->reply } 1 .. $rest];
}


1;
