package Gateway;

=head1 NAME

Gateway - a real nginx with our modules, real backends, real clients

=head1 SYNOPSIS

    use FindBin;
    use lib "$FindBin::Bin/lib";
    use Gateway;
    use Test::More;

    my @b = map { backend(name => $_) } qw(a b);
    my $g = gateway(<<"END", workers => 2);
        upstream u { lb round_robin; @{[ map { $_->server } @b ]} }
        server { listen 127.0.0.1:%%PORT%%;
                 location / { proxy_pass http://u; } }
    END

    is(get($g, '/')->{code}, 200, 'a request is answered');
    $b[0]->kill;
    is(load($g, '/', connections => 64, requests => 1000)->{codes}{200}, 1000,
       'no client sees that a backend is gone');
    like($g->wait_log(qr/lb: server .* is down/), qr/1 of 2/, 'it is logged');
    $g->reload;
    kill('KILL', ($g->workers)[0]);
    $g->quit;
    done_testing();

Everything that was started is killed, and its files are removed, when the
test ends, however it ends; after a failure the files stay and are named, and what
the error logs of those that took part say last goes to standard error.
Waiting methods take a timeout in seconds (10 by default, times
TEST_TIME_FACTOR) and never sleep longer than the event takes to come.

Test files in Test::Nginx format must not C<use lib> this directory: our
stand-in for Test::Nginx is in it.

=head1 FUNCTIONS

=over

=item gateway(TEXT, OPTIONS), gateway_unstarted(TEXT, OPTIONS)

An nginx.  TEXT is what stands in C<http {}>, or a main configuration when it
has an C<http {> of its own; load_module, pid, error_log, events and the like
are added.  In it %%PORT%%, %%PORT_x%% (any x) are free ports, %%DIR%% is a
directory of its own, with C<html> in it.  Options: workers (1), master (1),
log_level (info), main (lines of main context), events, modules (list of
paths), env (hash), connections (4096), user (of the workers, root).

=item check(TEXT, OPTIONS)

(exit code, standard error) of C<nginx -t>.

=item backend(OPTIONS), raw_server(BYTES, END)

See L<Gateway::Backend>.  The second is the port of a server that sends these
bytes after a request's header, and closes then (END) or when the client does.

=item version()

That of nginx, as C<v1.22.1>: a version string of Perl.

=item redis(OPTIONS), sentinel(OPTIONS)

See L<Gateway::Redis>.

=item get(WHERE, URI, OPTIONS), request(WHERE, METHOD, URI, OPTIONS),
load(WHERE, URI, OPTIONS), client(WHERE)

See L<Gateway::Client>.  WHERE is a gateway, a port, host:port or
unix:/path.

=item wait_for(CODE, TIMEOUT), free_port(), temp_dir()

What CODE returns as soon as that is true, or undef after the timeout.

=back

=head1 METHODS of a gateway

=over

=item port, port(x), dir, pid, workers

x as in %%PORT_x%%.  pid is the master's; workers are the pids of the workers
that take new connections.

=item start, quit, stop, kill, running

quit is graceful; quit and stop return nginx's wait status, or undef (and kill
it) when it does not exit in time.

=item reload, reload(TEXT)

Sends HUP, with a new configuration text if there is one; returns true when
workers of the new generation alone take connections, false when nginx refused
the configuration.

=item wait_workers(N), old_workers

The workers, once there are N; those that are shutting down.

=item log, mark, wait_log(RE, TIMEOUT)

The error log (since the last mark); its first line that matches.

=item access_log

=back

=cut

use v5.28;
use warnings;

use Cwd ();
use Exporter qw(import);
use File::Path qw(make_path);
use Gateway::Backend;
use Gateway::Client qw(client get load request);
use Gateway::Process qw(alive children free_port spawn temp_dir time_factor
                        wait_exit wait_for);
use Gateway::Redis;
use IO::Socket::INET;
use Test::More ();

our @EXPORT = qw(backend check client free_port gateway gateway_unstarted get
                 load raw_server redis request sentinel temp_dir version
                 wait_for);

my $BINARY = $ENV{TEST_NGINX_BINARY} || '/usr/sbin/nginx';

# How much of an error log is shown after a failure.

use constant TAIL => 30;

my $owner = $$;
my (%all, $last, $told);


sub gateway           { my $g = Gateway->new(@_); $g->start; return $g }
sub gateway_unstarted { return Gateway->new(@_) }
sub backend           { return Gateway::Backend->start(@_) }
sub raw_server        { return Gateway::Backend::raw(@_) }
sub redis             { return Gateway::Redis->start(@_) }
sub sentinel          { return Gateway::Redis->start_sentinel(@_) }
sub check             { return Gateway->new(@_)->test }

sub version
{
    state $version = `$BINARY -v 2>&1` =~ m{/(\d+)\.(\d+)\.(\d+)}
        ? pack('U3', $1, $2, $3) : die "$BINARY has no version\n";

    return $version;
}


sub new
{
    my ($class, $text, %option) = @_;

    my $self = bless {
        dir         => temp_dir(),
        ports       => {},
        workers     => 1,
        master      => 1,
        connections => 4096,
        log_level   => 'info',
        main        => '',
        events      => '',
        modules     => [modules()],
        user        => 'root',
        env         => {},
        %option,
        position    => 0,
    }, $class;

    $all{ $self->{dir} } = 1;

    make_path("$self->{dir}/html", "$self->{dir}/logs");
    $self->write($text);

    return $self;
}


# A subtest that has failed is still the current one when its gateways go.

sub DESTROY
{
    my ($self) = @_;

    return if $$ != $owner || ${^GLOBAL_PHASE} eq 'DESTRUCT';

    delete $all{ $self->{dir} };
    $last = $self->{dir};
    show_log($last) if !Test::More->builder->is_passing;
}


sub show_log
{
    my ($dir) = @_;

    my @lines = grep { !/closed (?:keepalive )?connection/ }
                split /^/, slurp("$dir/logs/error.log");
    splice(@lines, 0, @lines - TAIL) if @lines > TAIL;

    Test::More::diag("last lines of $dir/logs/error.log:\n",
                     map { "  $_" } @lines);
    $told = 1;
}


# What ended a test by an exception is in the newest log.

END {
    if ($$ == $owner && ($? || !Test::More->builder->is_passing)) {
        show_log($_) for sort keys %all;
        show_log($last) if !$told && defined $last;
    }
}


# As the Test::Nginx suites get them, or what was built last.

sub modules
{
    my $list = $ENV{TEST_NGINX_LOAD_MODULES};

    if (!defined $list) {
        my $top = __FILE__ =~ s{[^/]*$}{}r . '../..';
        return glob("$top/build/release/ngx_http_*_module.so");
    }

    return grep { length } split /\s+/, $list;
}


sub write
{
    my ($self, $text) = @_;

    my $dir    = $self->{dir};
    my $load   = join "\n", map { 'load_module ' . absolute($_) . ';' }
                 @{ $self->{modules} };
    my $master = $self->{master} ? 'on' : 'off';
    my $user   = $> == 0 ? "user $self->{user};" : '';
    my $files  = $self->{connections} + 256;
    my $temp   = join "\n", map { "${_}_temp_path $dir/$_;" }
                 qw(client_body proxy fastcgi scgi uwsgi);

    if ($text !~ /^\s*http\s*\{/m) {
        $text = "http {\naccess_log $dir/logs/access.log;\n$temp\n$text\n}\n";
    }

    $text =~ s/%%DIR%%/$dir/g;
    $text =~ s/%%PORT(?:_(\w+))?%%/$self->port($1)/ge;

    open(my $out, '>', "$dir/nginx.conf.new") or die "$dir/nginx.conf: $!\n";
    print $out <<~END;
        daemon off;
        master_process $master;
        worker_processes $self->{workers};
        worker_rlimit_nofile $files;
        error_log $dir/logs/error.log $self->{log_level};
        pid $dir/logs/nginx.pid;
        $user
        $load
        $self->{main}
        events {
            worker_connections $self->{connections};
            $self->{events}
        }
        $text
        END
    close($out) or die "$dir/nginx.conf: $!\n";
    rename("$dir/nginx.conf.new", "$dir/nginx.conf");
}


sub absolute { $_[0] =~ m{^/} ? $_[0] : Cwd::getcwd() . "/$_[0]" }

sub port { $_[0]{ports}{ $_[1] // '' } //= free_port() }
sub dir  { $_[0]{dir} }
sub pid  { $_[0]{pid} }


sub command
{
    my ($self, @more) = @_;

    my @env = map { "$_=$self->{env}{$_}" } sort keys %{ $self->{env} };

    return ((@env ? ('/usr/bin/env', @env) : ()),
            $BINARY, '-e', "$self->{dir}/logs/error.log",
            '-p', "$self->{dir}/", '-c', "$self->{dir}/nginx.conf", @more);
}


sub test
{
    my ($self) = @_;

    my $out = "$self->{dir}/test.out";
    my $status = wait_exit(spawn($out, $self->command('-t')), 60);

    # a sanitizer may have said more than nginx

    return (defined $status ? ($status & 127) || $status >> 8 : -1,
            slurp($out));
}


sub start
{
    my ($self) = @_;

    my $out = "$self->{dir}/logs/stderr";
    $self->{pid} = spawn($out, $self->command);

    wait_for(sub {
        !$self->running || $self->master_pid && $self->listening
            && (!$self->{master} || $self->workers >= $self->{workers})
    }, 30);

    if (!$self->running) {
        die "nginx does not start:\n" . slurp($out) . $self->log . "\n";
    }
}


sub running { my ($self) = @_; return defined $self->{pid}
                               && alive($self->{pid}) }


sub master_pid
{
    my ($self) = @_;

    return (slurp("$self->{dir}/logs/nginx.pid") =~ /^(\d+)$/)[0];
}


# All %%PORT%%s of the text that are listened on by it take connections.

sub listening
{
    my ($self) = @_;

    my $text = slurp("$self->{dir}/nginx.conf");

    for my $port (values %{ $self->{ports} }) {
        next if $text !~ /\blisten\s+[^;]*\b$port\b/;
        IO::Socket::INET->new("127.0.0.1:$port") or return 0;
    }

    return 1;
}


sub workers
{
    my ($self) = @_;

    return $self->{pid} if !$self->{master};
    return grep { title($_) =~ /^nginx: worker process$/ }
           children($self->{pid});
}


sub old_workers
{
    my ($self) = @_;

    return grep { title($_) =~ /^nginx: worker process is shutting down/ }
           children($self->{pid});
}


sub title { return slurp("/proc/$_[0]/cmdline") =~ s/[\0\s]+$//r }


sub wait_workers
{
    my ($self, $n, $timeout) = @_;

    wait_for(sub { $self->workers == $n }, $timeout);

    return $self->workers;
}


sub reload
{
    my ($self, $text) = @_;

    my %old = map { $_ => 1 } $self->workers;
    my $errors = () = slurp("$self->{dir}/logs/error.log") =~ /\[emerg\]/g;

    $self->write($text) if defined $text;
    CORE::kill('HUP', $self->{pid});

    my $new;
    wait_for(sub {
        my @workers = $self->workers;
        $new = @workers >= $self->{workers} && !grep { $old{$_} } @workers;
        return 1 if $new;

        my $now = () = slurp("$self->{dir}/logs/error.log") =~ /\[emerg\]/g;
        return $now > $errors;
    }, 30);

    return $new;
}


sub quit { return $_[0]->finish('QUIT', $_[1]) }
sub stop { return $_[0]->finish('TERM', $_[1]) }


sub finish
{
    my ($self, $signal, $timeout) = @_;

    return undef if !defined $self->{pid};

    CORE::kill($signal, $self->{pid});
    my $status = wait_exit($self->{pid}, $timeout // 30);
    $self->kill if !defined $status;

    return $status;
}


sub kill
{
    my ($self) = @_;

    Gateway::Process::finish($self->{pid});
}


sub log
{
    my ($self) = @_;

    return substr(slurp("$self->{dir}/logs/error.log"), $self->{position});
}


sub mark
{
    my ($self) = @_;

    $self->{position} = -s "$self->{dir}/logs/error.log" // 0;
}


sub wait_log
{
    my ($self, $re, $timeout) = @_;

    return wait_for(sub {
        (grep { /$re/ } split /^/, $self->log)[0]
    }, $timeout);
}


sub access_log { return slurp("$_[0]{dir}/logs/access.log") }


sub slurp
{
    my ($path) = @_;

    open(my $in, '<', $path) or return '';
    local $/;
    return <$in> // '';
}


1;
